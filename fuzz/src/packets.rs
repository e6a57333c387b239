//! Packets in somebody's name, and files of signatures.

use daylight_injection::{Analysis, Report, Signatures, Verdict, dissect};
use daylight_packet::LinkType;

/// A capture, or else IP packets one after the other, each behind its length and the milliseconds since the one before.
pub(crate) fn packets(data: &[u8]) {
    let mut analysis = Analysis::new();
    match daylight_capture::open_bytes(data.to_vec()) {
        Ok(mut source) => drop(analysis.read(source.as_mut(), 10_000)),
        Err(_) => raw(&mut analysis, data),
    }
    let signatures = Signatures::own().expect("ours are right");
    hold(&analysis.finish(&signatures));
}

fn raw(analysis: &mut Analysis, mut rest: &[u8]) {
    let mut now = 0;
    while let [high, low, after, more @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(more.len());
        let (packet, more) = more.split_at(length);
        now += i64::from(*after) * 1_000_000;
        analysis.add(LinkType::RAW, packet, now, length as u32);
        rest = more;
    }
}

/// What is called injected has no harmless cause in common, and packets are in the order of their numbers.
fn hold(report: &Report) {
    for finding in &report.findings {
        assert!(!finding.packets.is_empty());
        assert!(finding.packets.is_sorted_by(|a, b| a.number < b.number));
        assert_eq!(finding.packets.iter().map(|packet| packet.verdict).max(), Some(finding.verdict));
        for packet in &finding.packets {
            assert!(packet.number >= 1 && packet.number <= report.counters.frames);
            let mut strong = packet.tells.iter().filter(|told| !told.tell.is_weak());
            let first = strong.next().expect("a reason");
            let others: Vec<_> = strong.collect();
            let explains = |cause| others.iter().all(|told| told.benign.contains(cause));
            assert_eq!(first.benign.iter().any(explains), packet.verdict == Verdict::Suspect);
            for field in dissect(&packet.bytes) {
                assert!(field.from < field.to && field.to <= packet.bytes.len());
            }
        }
        assert!(finding.signatures.iter().all(|one| one.vendor.is_none() || one.features.len() >= 2));
    }
}

/// A file of signatures: what is refused is told with its place.
pub(crate) fn signatures(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Err(error) = Signatures::parse(text, "input.toml") {
        assert!(error.line > 0 && error.column > 0 && !error.message.is_empty());
        assert!(error.line <= text.matches('\n').count() + 1);
    }
}
