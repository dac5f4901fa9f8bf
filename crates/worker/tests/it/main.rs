//! The real worker, real agents and the real server end of the line.

#[cfg(test)]
mod line;
#[cfg(test)]
mod rig;
