//! One test for each thing that must not be possible inside.

use crate::harness::{has_python, launcher, python};

#[test]
fn namespaces_cannot_be_made() {
    if !has_python() {
        return;
    }
    let script =
        "for flag in (0x10000000, 0x20000, 0x20000000, 0x40000000): print(name(sys_(272, flag)))";
    assert_eq!(python(&launcher(), script).output, "EPERM\n".repeat(4));
}
