//! What people reach: API and SSE. Decides nothing.
