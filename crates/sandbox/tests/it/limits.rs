//! Bounds on what a box uses, one test each.
