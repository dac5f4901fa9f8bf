//! The program inside the box: PID 1, reaps, pumps the agent's stdio. Holds no secret; believes nothing.
