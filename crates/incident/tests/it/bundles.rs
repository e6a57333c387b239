//! Bundles: what goes in comes out, the same bytes each time; whatever is changed is named.

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use daylight_capture::{PcapWriter, open_bytes};
use daylight_incident::bundle::{BundleError, Bundled, Difference, Limits, Scrub, Verified, verify, write};
use daylight_packet::{LinkType, is_damaged};

/// A key pair of the signed-note format, made once for tests.
fn keys() -> (String, String) {
    signed_note::generate_key(&mut rand_core::OsRng, "tests.example/evidence")
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("raw")).unwrap();
    fs::write(
        folder.path().join("raw/a.jsonl"),
        "{\"probe_ip\":\"198.51.100.7\",\"x\":\"198.51.100.70 198.51.100.7:80\"}\n",
    )
    .unwrap();
    fs::write(folder.path().join("notes.txt"), "seen at 198.51.100.7.\n").unwrap();
    folder
}

fn pack(folder: &Path, scrub: &Scrub, key: Option<&str>) -> (Vec<u8>, Bundled) {
    let mut out = Vec::new();
    let bundled = write(folder, &mut out, &[], scrub, key).unwrap();
    (out, bundled)
}

fn check(bytes: &[u8], keys: &[String]) -> Verified {
    verify(bytes, keys, Limits::default()).unwrap()
}

/// The files of a bundle.
fn unpack(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut archive = tar::Archive::new(zstd::Decoder::new(bytes).unwrap());
    archive
        .entries()
        .unwrap()
        .map(|entry| {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().display().to_string();
            let mut contents = Vec::new();
            std::io::Read::read_to_end(&mut entry, &mut contents).unwrap();
            (name, contents)
        })
        .collect()
}

fn repack(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(zstd::Encoder::new(Vec::new(), 1).unwrap());
    for (name, contents) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(contents.len() as u64);
        // As bytes, so that names can be put in that the library refuses.
        let field = &mut header.as_old_mut().name;
        field[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        tar.append(&header, *contents).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap()
}

fn changed(bundle: &[u8], change: impl Fn(&mut Vec<(String, Vec<u8>)>)) -> Vec<Difference> {
    let mut files = unpack(bundle);
    change(&mut files);
    let files: Vec<(&str, &[u8])> = files.iter().map(|(n, c)| (n.as_str(), c.as_slice())).collect();
    check(&repack(&files), &[]).differences
}

#[test]
fn the_same_folder_gives_the_same_bytes_and_verifies() {
    let (private, public) = keys();
    let folder = folder();
    let (a, bundled) = pack(folder.path(), &Scrub::default(), Some(&private));
    let (b, _) = pack(folder.path(), &Scrub::default(), Some(&private));
    assert!(a == b);
    let verified = check(&a, std::slice::from_ref(&public));
    assert_eq!((verified.files, verified.differences.len()), (2, 0));
    assert_eq!(verified.signed_by, [bundled.signed_by.unwrap()]);
    assert_eq!(verified.manifest_sha256, bundled.manifest_sha256);
}

#[test]
fn whatever_is_changed_is_named() {
    let folder = folder();
    let (bundle, _) = pack(folder.path(), &Scrub::default(), None);
    let notes =
        |files: &mut Vec<(String, Vec<u8>)>| files.iter().position(|(n, _)| n == "notes.txt").unwrap();
    let found = changed(&bundle, |files| {
        let at = notes(files);
        files[at].1.push(b'!');
    });
    assert!(matches!(&found[..], [Difference::Changed { path, .. }] if path == "notes.txt"), "{found:?}");
    let found = changed(&bundle, |files| {
        let at = notes(files);
        files.remove(at);
    });
    assert_eq!(found, [Difference::Missing("notes.txt".into())]);
    let found = changed(&bundle, |files| files.push(("more.txt".into(), vec![])));
    assert_eq!(found, [Difference::Extra("more.txt".into())]);
    let found = changed(&bundle, |files| {
        let at = notes(files);
        let again = files[at].clone();
        files.push(again);
    });
    assert_eq!(found, [Difference::Twice("notes.txt".into())]);
    for path in ["../out.txt", "/etc/passwd", "a/../../b", "c:\\x"] {
        let found = changed(&bundle, |files| files.push((path.into(), vec![1])));
        assert!(matches!(&found[..], [Difference::UnsafePath { .. }]), "{path}: {found:?}");
    }
}

#[test]
fn signatures_are_checked() {
    let (private, public) = keys();
    let (_, other) = keys();
    let folder = folder();
    let (bundle, _) = pack(folder.path(), &Scrub::default(), Some(&private));
    let found = check(&bundle, std::slice::from_ref(&other)).differences;
    assert!(matches!(&found[..], [Difference::Unsigned(_)]), "{found:?}");
    let (unsigned, _) = pack(folder.path(), &Scrub::default(), None);
    assert!(matches!(
        &check(&unsigned, std::slice::from_ref(&public)).differences[..],
        [Difference::Unsigned(_)]
    ));
    // A file and the manifest changed to fit it: the signature doesn't.
    let found = changed(&bundle, |files| {
        let manifest = String::from_utf8(files[0].1.clone()).unwrap();
        files[0].1 = manifest
            .replace("daylight evidence bundle 1\n", "daylight evidence bundle 1\nrules x y\n")
            .into_bytes();
    });
    assert!(
        matches!(&found[..], [Difference::Signature(why)] if why.contains("another manifest")),
        "{found:?}"
    );
    let found = changed(&bundle, |files| files[1].1.truncate(40));
    assert!(matches!(&found[..], [Difference::Signature(_)]), "{found:?}");
}

#[test]
fn bombs_and_other_files_are_refused() {
    let zeros = zstd::encode_all(vec![0; 64 << 20].as_slice(), 1).unwrap();
    let error = verify(zeros.as_slice(), &[], Limits { bytes_max: 1 << 20 });
    assert!(error.is_err());
    let big = vec![b'x'; 3 << 20];
    let bomb = repack(&[("manifest.txt", b"daylight evidence bundle 1\n"), ("big", &big)]);
    let error = verify(bomb.as_slice(), &[], Limits { bytes_max: 1 << 20 }).unwrap_err();
    assert!(matches!(error, BundleError::TooLarge { .. }), "{error}");
    for bytes in [&b""[..], b"not a bundle", &zstd::encode_all(&b"hello"[..], 1).unwrap()] {
        assert!(matches!(verify(bytes, &[], Limits::default()), Err(BundleError::NotABundle { .. })));
    }
}

#[test]
fn the_probes_addresses_are_taken_out_unless_told_otherwise() {
    let folder = folder();
    let (bundle, _) = pack(folder.path(), &Scrub::default(), None);
    let files = unpack(&bundle);
    let text =
        |name: &str| String::from_utf8(files.iter().find(|(n, _)| n == name).unwrap().1.clone()).unwrap();
    assert_eq!(text("notes.txt"), "seen at 192.0.2.1.\n");
    assert!(text("raw/a.jsonl").contains("198.51.100.70 192.0.2.1:80"), "{}", text("raw/a.jsonl"));
    let (bundle, _) = pack(folder.path(), &Scrub::Nothing, None);
    assert!(unpack(&bundle).iter().any(|(_, contents)| contents.windows(12).any(|w| w == b"198.51.100.7")));
}

#[test]
fn captures_lose_the_address_that_opens_connections() {
    // An IPv4 SYN from 10.9.8.7 to 203.0.113.5, under Ethernet.
    let mut packet = vec![0xaa; 12];
    packet.extend([0x08, 0x00, 0x45, 0, 0, 40, 0, 1, 0x40, 0, 64, 6, 0, 0, 10, 9, 8, 7, 203, 0, 113, 5]);
    packet.extend([0xc0, 0, 1, 0xbb, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0xff, 0xff, 0, 0, 0, 0]);
    let mut writer = PcapWriter::new(Vec::new(), LinkType::ETHERNET, 65535).unwrap();
    writer.write(1_596_931_200_000_000_000, packet.len() as u32, &packet).unwrap();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("own.pcap"), writer.into_inner()).unwrap();
    let (bundle, _) = pack(folder.path(), &Scrub::default(), None);
    let files = unpack(&bundle);
    let (name, contents) = files.last().unwrap();
    assert_eq!(name, "own.pcapng");
    assert!(!contents.windows(4).any(|w| w == [10, 9, 8, 7]));
    assert!(!contents.windows(6).any(|w| w == [0xaa; 6]));
    assert!(contents.windows(4).any(|w| w == [203, 0, 113, 5]));
    assert_eq!(open_bytes(contents.clone()).unwrap().next_batch(9).unwrap().unwrap().frames.len(), 1);
    let more = Scrub::Own(vec!["203.0.113.5".parse::<IpAddr>().unwrap()]);
    let (bundle, _) = pack(folder.path(), &more, None);
    assert!(!unpack(&bundle).last().unwrap().1.windows(4).any(|w| w == [203, 0, 113, 5]));
}

#[test]
fn checksums_say_after_scrubbing_what_they_said_before() {
    let syn = daylight_packet::build::Tcp {
        source: "10.9.8.7".parse().unwrap(),
        destination: "203.0.113.5".parse().unwrap(),
        flags: 2,
        ..Default::default()
    };
    let right = daylight_packet::build::tcp(&syn);
    let mut wrong = right.clone();
    wrong[36] ^= 1;
    let mut writer = PcapWriter::new(Vec::new(), LinkType::RAW, 65535).unwrap();
    for packet in [&right, &wrong] {
        writer.write(1_596_931_200_000_000_000, packet.len() as u32, packet).unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("own.pcap"), writer.into_inner()).unwrap();
    let (bundle, _) = pack(folder.path(), &Scrub::default(), None);
    let contents = unpack(&bundle).last().unwrap().1.clone();
    let batch = open_bytes(contents).unwrap().next_batch(9).unwrap().unwrap();
    let damaged: Vec<bool> = batch.frames.iter().map(|frame| is_damaged(batch.frame_bytes(frame))).collect();
    assert_eq!(damaged, [false, true]);
    assert!(batch.frames.iter().all(|frame| batch.frame_bytes(frame)[12..16] == [192, 0, 2, 1]));
}
