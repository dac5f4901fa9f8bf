//! Linux isolation as a library.
