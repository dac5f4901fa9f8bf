//! The real kernel against the real library. Needs no root: what root alone can have is tested as
//! root, and the same walls again as an ordinary user.

#[cfg(test)]
mod again;
#[cfg(test)]
mod escape;
#[cfg(test)]
mod escape_host;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod life;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod still;
#[cfg(test)]
mod sweep;
#[cfg(test)]
mod views;
