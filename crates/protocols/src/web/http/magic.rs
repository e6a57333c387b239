//! What a file is, by its first bytes. The names are those of IANA, or those that Zeek uses where IANA has none.

/// The kinds that risks tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // those whose names say it all
pub enum Kind {
    /// Runs on a processor or in a virtual machine, or is an installer.
    Executable,
    /// Runs in an interpreter.
    Script,
    Archive,
    Image,
    Media,
    Document,
    /// HTML, XML.
    Markup,
    Font,
}

/// A file type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileType {
    /// The media type.
    pub mime: &'static str,
    /// What kind of file it is.
    pub kind: Kind,
}

/// Offset, bytes, type. Longer and more telling ones first.
const MAGICS: &[(usize, &[u8], &str, Kind)] = &[
    (0, b"\x7fELF", "application/x-executable", Kind::Executable),
    (0, b"\xfe\xed\xfa\xce", "application/x-mach-o-executable", Kind::Executable),
    (0, b"\xfe\xed\xfa\xcf", "application/x-mach-o-executable", Kind::Executable),
    (0, b"\xce\xfa\xed\xfe", "application/x-mach-o-executable", Kind::Executable),
    (0, b"\xcf\xfa\xed\xfe", "application/x-mach-o-executable", Kind::Executable),
    (0, b"dex\n03", "application/vnd.android.dex", Kind::Executable),
    (0, b"\0asm\x01\0\0\0", "application/wasm", Kind::Executable),
    (0, b"L\0\0\0\x01\x14\x02\0", "application/x-ms-shortcut", Kind::Executable),
    (0, b"!<arch>\ndebian-binary", "application/vnd.debian.binary-package", Kind::Executable),
    (0, b"\xed\xab\xee\xdb", "application/x-rpm", Kind::Executable),
    (0, b"#!/", "text/x-shellscript", Kind::Script),
    (0, b"#! /", "text/x-shellscript", Kind::Script),
    (0, b"<?php", "text/x-php", Kind::Script),
    (0, b"\x89PNG\r\n\x1a\n", "image/png", Kind::Image),
    (0, b"\xff\xd8\xff", "image/jpeg", Kind::Image),
    (0, b"GIF87a", "image/gif", Kind::Image),
    (0, b"GIF89a", "image/gif", Kind::Image),
    (8, b"WEBPVP8", "image/webp", Kind::Image),
    (0, b"\0\0\x01\0", "image/x-icon", Kind::Image),
    (0, b"II*\0", "image/tiff", Kind::Image),
    (0, b"MM\0*", "image/tiff", Kind::Image),
    (4, b"ftypavif", "image/avif", Kind::Image),
    (4, b"ftypheic", "image/heic", Kind::Image),
    (4, b"ftypM4A", "audio/mp4", Kind::Media),
    (4, b"ftyp", "video/mp4", Kind::Media),
    (4, b"stypmsdh", "video/mp4", Kind::Media),
    (0, b"\x1aE\xdf\xa3", "video/webm", Kind::Media),
    (0, b"OggS", "application/ogg", Kind::Media),
    (0, b"FLV\x01", "video/x-flv", Kind::Media),
    (0, b"ID3", "audio/mpeg", Kind::Media),
    (0, b"fLaC", "audio/flac", Kind::Media),
    (8, b"WAVEfmt ", "audio/x-wav", Kind::Media),
    (8, b"AVI LIST", "video/x-msvideo", Kind::Media),
    (0, b"FWS", "application/x-shockwave-flash", Kind::Media),
    (0, b"CWS", "application/x-shockwave-flash", Kind::Media),
    (0, b"%PDF-", "application/pdf", Kind::Document),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/msword", Kind::Document),
    (0, b"{\\rtf", "text/rtf", Kind::Document),
    (30, b"[Content_Types].xml", "application/vnd.openxmlformats-officedocument", Kind::Document),
    (30, b"AndroidManifest.xml", "application/vnd.android.package-archive", Kind::Executable),
    (30, b"META-INF/", "application/java-archive", Kind::Executable),
    (0, b"PK\x03\x04", "application/zip", Kind::Archive),
    (0, b"Rar!\x1a\x07", "application/x-rar", Kind::Archive),
    (0, b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed", Kind::Archive),
    (0, b"\x1f\x8b\x08", "application/gzip", Kind::Archive),
    (0, b"BZh", "application/x-bzip2", Kind::Archive),
    (0, b"\xfd7zXZ\0", "application/x-xz", Kind::Archive),
    (0, b"\x28\xb5\x2f\xfd", "application/zstd", Kind::Archive),
    (0, b"MSCF\0\0\0\0", "application/vnd.ms-cab-compressed", Kind::Archive),
    (257, b"ustar", "application/x-tar", Kind::Archive),
    (0, b"wOFF", "font/woff", Kind::Font),
    (0, b"wOF2", "font/woff2", Kind::Font),
    (0, b"<?xml", "application/xml", Kind::Markup),
];

/// The type of a file that begins with `head`. Types without a magic number (plain text, JSON, style sheets) are none.
pub fn file_type(head: &[u8]) -> Option<FileType> {
    if let Some(found) = executable(head) {
        return Some(found);
    }
    for (offset, bytes, mime, kind) in MAGICS {
        // What stands in a ZIP archive's first entry counts only if it is one.
        let zip = *offset != 30 || head.starts_with(b"PK\x03\x04");
        if zip && head.get(*offset..).is_some_and(|h| h.starts_with(bytes)) {
            return Some(FileType { mime, kind: *kind });
        }
    }
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    let html = |tag: &[u8]| text.get(..tag.len()).is_some_and(|t| t.eq_ignore_ascii_case(tag));
    if html(b"<!doctype html") || html(b"<html") {
        return Some(FileType { mime: "text/html", kind: Kind::Markup });
    }
    None
}

/// Those that two letters alone would claim too easily.
fn executable(head: &[u8]) -> Option<FileType> {
    let word = |at: usize| head.get(at..at + 4).map(|w| u32::from_le_bytes([w[0], w[1], w[2], w[3]]));
    if head.starts_with(b"MZ") {
        // The offset of the PE header stands at 60; it is seen if it lies within `head`, and else must be sane.
        let pe = word(60)? as usize;
        let there = match head.get(pe..pe.saturating_add(4)) {
            Some(magic) => magic == b"PE\0\0" || magic.starts_with(b"NE") || magic.starts_with(b"LE"),
            None => (64..0x1000).contains(&pe),
        };
        return there.then_some(FileType { mime: "application/x-dosexec", kind: Kind::Executable });
    }
    if head.starts_with(b"\xca\xfe\xba\xbe") {
        // A Java class has its version there, 45 or more; a universal Mach-O file the number of its parts.
        let number = word(4)?.swap_bytes();
        let mime = if number < 20 { "application/x-mach-o-executable" } else { "application/x-java-applet" };
        return Some(FileType { mime, kind: Kind::Executable });
    }
    None
}

/// True if a file that is said to be of type `declared` cannot well be of kind `found`: what a browser would be
/// shocked by. Types that stand for any bytes agree with everything.
pub fn contradicts(declared: &str, found: FileType) -> bool {
    let top = declared.split('/').next().unwrap_or_default();
    let shown = match top {
        "image" => Some(Kind::Image),
        "audio" | "video" => Some(Kind::Media),
        "font" => Some(Kind::Font),
        _ if matches!(
            declared,
            "text/html" | "text/css" | "application/json" | "text/javascript" | "application/javascript"
        ) =>
        {
            Some(Kind::Markup)
        }
        _ if declared == "application/pdf" => Some(Kind::Document),
        _ => None,
    };
    match shown {
        // SVG is XML, error pages come under any name, and files compressed beforehand under their contents' name.
        Some(_) if found.kind == Kind::Markup || found.mime == "application/gzip" => false,
        Some(shown) => shown != found.kind,
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mime(head: &[u8]) -> &'static str {
        file_type(head).map_or("", |t| t.mime)
    }

    fn exe() -> Vec<u8> {
        let mut head = vec![0; 256];
        head[..2].copy_from_slice(b"MZ");
        head[60] = 0x80;
        head[0x80..0x84].copy_from_slice(b"PE\0\0");
        head
    }

    #[test]
    fn known_files() {
        for (head, name) in [
            (&b"\x89PNG\r\n\x1a\n\0\0"[..], "image/png"),
            (b"\x7fELF\x02\x01", "application/x-executable"),
            (b"%PDF-1.7", "application/pdf"),
            (b"\x1f\x8b\x08\0", "application/gzip"),
            (b"#!/bin/sh\n", "text/x-shellscript"),
            (b"\n <!DOCTYPE HTML>", "text/html"),
            (b"\xca\xfe\xba\xbe\0\0\0\x34", "application/x-java-applet"),
            (b"\xca\xfe\xba\xbe\0\0\0\x02", "application/x-mach-o-executable"),
            (b"PK\x03\x04", "application/zip"),
            (b"hello", ""),
            (b"", ""),
            (b"{\"a\":1}", ""),
        ] {
            assert_eq!(mime(head), name, "{head:?}");
        }
        assert_eq!(mime(&exe()), "application/x-dosexec");
    }

    #[test]
    fn two_letters_are_not_enough() {
        assert_eq!(mime(b"MZ is my name"), "");
        let mut odd = exe();
        odd[0x80] = b'Q';
        assert_eq!(mime(&odd), "");
        assert_eq!(mime(&[b"xx".repeat(15), b"META-INF/".to_vec()].concat()), "");
    }

    #[test]
    fn contradictions() {
        let exe = file_type(&exe()).unwrap();
        let png = file_type(b"\x89PNG\r\n\x1a\n").unwrap();
        assert!(
            contradicts("image/png", exe) && contradicts("text/html", exe) && contradicts("text/html", png)
        );
        assert!(
            !contradicts("application/octet-stream", exe)
                && !contradicts("image/jpeg", png)
                && !contradicts("", exe)
        );
        assert!(!contradicts("image/svg+xml", file_type(b"<?xml version").unwrap()));
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics(head in proptest::collection::vec(proptest::num::u8::ANY, 0..80), mz: bool) {
            let head = if mz { [b"MZ".to_vec(), head].concat() } else { head };
            let _ = file_type(&head);
        }
    }
}
