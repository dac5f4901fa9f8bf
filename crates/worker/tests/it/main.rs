//! The real worker, real agents, the real server end of the line, and the backends that start it.

#[cfg(test)]
mod line;
#[cfg(test)]
mod process;
#[cfg(test)]
mod rig;
