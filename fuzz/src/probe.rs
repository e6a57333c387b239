//! What the probe and its helper read of others.

use daylight_probe::control::Pack;
use daylight_probe::dns::{self, ANSWERS_MAX, RecordType};
use daylight_probe::helper::read_request;
use daylight_probe::plan::{List, Scheme, Target};

/// A resolver's answer, or an injector's.
pub(crate) fn reply(data: &[u8]) {
    for kind in [RecordType::A, RecordType::Aaaa] {
        let Some(message) = dns::read(data, "a.example", kind) else { continue };
        assert!(message.answers.len() <= ANSWERS_MAX);
        assert!(message.addresses().len() + message.aliases().len() <= message.answers.len());
        if message.failure().is_none() {
            assert!(message.repeats_question && !message.addresses().is_empty());
        }
    }
}

/// A request to the helper.
pub(crate) fn request(data: &[u8]) {
    if let Ok((target, request)) = read_request(data) {
        assert!(matches!(target.scheme(), Scheme::Http | Scheme::Https));
        assert!(request.tcp_connect.len() <= 64 && target.port() != 0);
    }
}

/// A control pack: no key signs what is made at random, and what was signed may still be anything.
pub(crate) fn pack(data: &[u8]) {
    assert!(Pack::read(data, &[]).is_err());
    if let Ok(pack) = Pack::parse(data) {
        assert!(pack.len() <= data.split(|byte| *byte == b'\n').count());
    }
}

/// A list of targets: what is taken is taken again in the form in which it is shown.
pub(crate) fn list(data: &[u8]) {
    let list = List::read(data);
    for entry in &list.entries {
        let again: Target = entry.target.input().parse().expect("what was taken is taken again");
        assert_eq!(again.input(), entry.target.input());
    }
}
