//! The nouns of Remit and their wire form. Plain data: no IO, no clock, no async, no crypto.
