//! Every port on this machine, nothing to install.
