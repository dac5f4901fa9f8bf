//! The zygote as a program of its own, for hosts that cannot be run again themselves.

fn main() {
    sandbox::zygote_main();
}
