//! Packets as evidence: those of a capture that are not the server's, with every byte and what its fields say.

use std::path::Path;

use daylight_injection::{Analysis, Field, Finding, Foreign, Signatures, dissect, title};

/// So many packets of a capture are shown.
pub const SHOWN_MAX: usize = 12;
/// So many bytes of a packet are shown.
pub const BYTES_MAX: usize = 192;
/// So many packets of a capture are looked at.
const FRAMES_MAX: u64 = 1_000_000;

/// What a capture holds for a report.
#[derive(Clone, Debug, PartialEq)]
pub struct Capture {
    /// The file.
    pub file: String,
    /// How many packets there are, of those that were looked at.
    pub frames: u64,
    /// The packets to be shown.
    pub shown: Vec<Shown>,
}

/// A packet to be shown.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    /// Its number in the capture, from 1.
    pub number: u64,
    /// When it was captured, in nanoseconds since 1970.
    pub ts_ns: i64,
    /// What it is, for people: `TCP 443 → 51234, RST ACK`.
    pub title: String,
    /// What speaks against it, and what equipment it fits.
    pub marks: Vec<String>,
    /// Names of the fields that speak against it.
    pub hot: Vec<&'static str>,
    /// Its first bytes, from the IP header on.
    pub bytes: Vec<u8>,
    /// Its fields: where they lie in the bytes, their name, and what they say.
    pub fields: Vec<Field>,
}

/// Reads a capture and picks what a report shows: packets that came in a server's name and seem not to be its own, those
/// first that no harmless cause explains.
///
/// # Errors
/// If it can't be read, or is none.
pub fn read(path: &Path, name: &str) -> Result<Capture, String> {
    let mut source = daylight_capture::open(path).map_err(|error| error.message)?;
    let mut analysis = Analysis::new();
    analysis.read(source.as_mut(), FRAMES_MAX).map_err(|error| error.message)?;
    let signatures = Signatures::own().map_err(|error| error.to_string())?;
    let report = analysis.finish(&signatures);
    let mut found: Vec<(&Finding, &Foreign)> = report
        .findings
        .iter()
        .flat_map(|finding| finding.packets.iter().map(move |packet| (finding, packet)))
        .collect();
    found.sort_by_key(|(_, packet)| (std::cmp::Reverse(packet.verdict), packet.number));
    found.truncate(SHOWN_MAX);
    found.sort_by_key(|(_, packet)| packet.number);
    let shown = found.into_iter().map(|(finding, packet)| show(finding, packet)).collect();
    Ok(Capture { file: name.to_owned(), frames: report.counters.frames, shown })
}

fn show(finding: &Finding, packet: &Foreign) -> Shown {
    let bytes = packet.bytes.get(..packet.bytes.len().min(BYTES_MAX)).unwrap_or_default().to_vec();
    let mut marks = vec![match packet.verdict {
        daylight_injection::Verdict::Injected => {
            "not the server's: no one harmless cause explains it".to_owned()
        }
        daylight_injection::Verdict::Suspect => {
            let causes = packet.tells.first().map(|told| told.benign.as_slice()).unwrap_or_default();
            let causes: Vec<&str> = causes.iter().map(|cause| cause.as_text()).collect();
            format!("odd, but that may be harmless: {}", causes.join("; "))
        }
    }];
    marks.extend(packet.tells.iter().map(|told| format!("{}: {}", told.tell.as_str(), told.values)));
    // Equipment that is named stands among the tells; what only has a class does not.
    let classes = finding.signatures.iter().filter(|one| one.vendor.is_none());
    marks.extend(classes.map(|one| format!("as {}: {} ({})", one.id, one.class, one.features.join(", "))));
    let mut hot: Vec<&'static str> = packet.tells.iter().filter_map(|told| told.tell.field()).collect();
    if hot.contains(&"Time to Live") {
        hot.push("Hop Limit");
    }
    Shown {
        number: packet.number,
        ts_ns: packet.ts_ns,
        title: title(&packet.bytes),
        marks,
        hot,
        fields: dissect(&bytes),
        bytes,
    }
}
