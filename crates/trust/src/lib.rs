//! Who may do what for whom until when. Pure: no IO, no clock, no async.
