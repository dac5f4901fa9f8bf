//! The built-in agent against a scripted model: what it says, does, and writes down.

mod limits;
mod model;
mod sessions;
mod strength;
mod talk;
mod turns;
