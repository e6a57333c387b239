//! Network File System, versions 2 (RFC 1094), 3 (RFC 1813) and 4 (RFC 7530, RFC 8881), with MOUNT. It is a program of
//! ONC RPC: [`sunrpc`](super::sunrpc) recognises and frames it, relabels the flow, and hands the calls on to here. Read
//! are the procedures, the names of files and directories, mount paths, and errors; file handles and content are not.
//!
//! Of a compound of version 4, operations are read up to the first whose arguments are not known here (locks, layouts).

use super::sunrpc::{MOUNT, NFS, opaque};
use crate::cursor::Cursor;
use crate::{Family, Protocol, ProtocolId, Sink, Value, fields, tcp, udp};

fields! { ProtocolId::Nfs;
    VERSION: Uint "version" "Version of NFS";
    PROCEDURES: [Str] "procedures" "Procedures called; for version 4, operations of the compounds";
    FILES: [Str] "files" "Names of files and directories that were looked up, made, removed or renamed";
    MOUNTS: [Str] "mounts" "Paths that were mounted or unmounted";
    CLIENT_ID: Str "client_id" "What the client calls itself (version 4)";
    ERRORS: [Str] "errors" "Errors that the server answered";
}

/// Network File System.
pub const PROTOCOL: Protocol = Protocol {
    name: "nfs",
    title: "Network File System",
    family: Family::Files,
    source: "RFC 1813, RFC 8881",
    ports: &[tcp(2049), udp(2049)],
    parser: super::sunrpc::PROTOCOL.parser,
    fields: FIELDS,
    ..Protocol::BASE
};

const VERSION_2: &[&str] = &[
    "null",
    "getattr",
    "setattr",
    "root",
    "lookup",
    "readlink",
    "read",
    "writecache",
    "write",
    "create",
    "remove",
    "rename",
    "link",
    "symlink",
    "mkdir",
    "rmdir",
    "readdir",
    "statfs",
];
const VERSION_3: &[&str] = &[
    "null",
    "getattr",
    "setattr",
    "lookup",
    "access",
    "readlink",
    "read",
    "write",
    "create",
    "mkdir",
    "symlink",
    "mknod",
    "remove",
    "rmdir",
    "rename",
    "link",
    "readdir",
    "readdirplus",
    "fsstat",
    "fsinfo",
    "pathconf",
    "commit",
];
const VERSION_4: &[&str] = &[
    "",
    "",
    "",
    "access",
    "close",
    "commit",
    "create",
    "delegpurge",
    "delegreturn",
    "getattr",
    "getfh",
    "link",
    "lock",
    "lockt",
    "locku",
    "lookup",
    "lookupp",
    "nverify",
    "open",
    "openattr",
    "open_confirm",
    "open_downgrade",
    "putfh",
    "putpubfh",
    "putrootfh",
    "read",
    "readdir",
    "readlink",
    "remove",
    "rename",
    "renew",
    "restorefh",
    "savefh",
    "secinfo",
    "setattr",
    "setclientid",
    "setclientid_confirm",
    "verify",
    "write",
    "release_lockowner",
    "backchannel_ctl",
    "bind_conn_to_session",
    "exchange_id",
    "create_session",
    "destroy_session",
    "free_stateid",
    "get_dir_delegation",
    "getdeviceinfo",
    "getdevicelist",
    "layoutcommit",
    "layoutget",
    "layoutreturn",
    "secinfo_no_name",
    "sequence",
    "set_ssv",
    "test_stateid",
    "want_delegation",
    "destroy_clientid",
    "reclaim_complete",
];
const MOUNT_PROCEDURES: &[&str] = &["null", "mnt", "dump", "umnt", "umntall", "export"];

/// Names are at most this long (NFS_MAXNAMLEN; version 3 leaves it open, but no file system goes beyond).
const NAME_MAX: u32 = 255;
/// Paths to be mounted (MNTPATHLEN).
const PATH_MAX: u32 = 1024;
/// Operations of one compound.
const OPERATIONS_MAX: u32 = 32;

/// A call to one of NFS's programs.
pub(super) fn call(program: u32, version: u32, procedure: u32, arguments: &[u8], out: &mut Sink<'_>) {
    let mut c = Cursor::new(arguments);
    let index = procedure as usize;
    match (program, version) {
        (NFS, 2) => {
            out.set(VERSION, version);
            known(VERSION_2, index, out);
            // A handle of 32 bytes, then the name.
            if matches!(procedure, 4 | 9..=15) && procedure != 12 && c.skip(32).is_some() {
                file(&mut c, out);
            }
            if procedure == 11 && c.skip(32).is_some() {
                file(&mut c, out);
            }
        }
        (NFS, 3) => {
            out.set(VERSION, version);
            known(VERSION_3, index, out);
            if matches!(procedure, 3 | 8..=14) && opaque(&mut c, 64).is_some() {
                file(&mut c, out);
            }
            if procedure == 14 && opaque(&mut c, 64).is_some() {
                file(&mut c, out);
            }
        }
        (NFS, 4) => {
            out.set(VERSION, version);
            if procedure == 0 {
                out.push(PROCEDURES, "null");
            } else {
                compound(&mut c, out);
            }
        }
        (MOUNT, _) => {
            if let Some(name) = MOUNT_PROCEDURES.get(index) {
                out.push(PROCEDURES, format!("mount.{name}"));
            }
            if matches!(procedure, 1 | 3)
                && let Some(path) = opaque(&mut c, PATH_MAX)
            {
                out.push(MOUNTS, Value::text(path));
            }
        }
        _ => {}
    }
}

fn known(names: &[&'static str], index: usize, out: &mut Sink<'_>) {
    if let Some(name) = names.get(index) {
        out.push(PROCEDURES, *name);
    }
}

fn file(c: &mut Cursor<'_>, out: &mut Sink<'_>) -> Option<()> {
    let name = opaque(c, NAME_MAX)?;
    if !matches!(name, b"" | b"." | b"..") {
        out.push(FILES, Value::text(name));
    }
    Some(())
}

/// COMPOUND of version 4: a tag, the minor version, the operations.
fn compound(c: &mut Cursor<'_>, out: &mut Sink<'_>) -> Option<()> {
    opaque(c, 1024)?;
    c.u32()?;
    let count = c.u32()?;
    for _ in 0..count.min(OPERATIONS_MAX) {
        let operation = c.u32()?;
        known(VERSION_4, operation as usize, out);
        match operation {
            // Without arguments.
            10 | 16 | 23 | 24 | 27 | 31 | 32 => {}
            // ACCESS, COMMIT, RENEW, READ
            3 => c.skip(4)?,
            5 => c.skip(12)?,
            30 => c.skip(8)?,
            25 => c.skip(28)?,
            // GETATTR: a bitmap.
            9 => bitmap(c)?,
            // PUTFH
            22 => opaque(c, 128).map(|_| ())?,
            // LOOKUP, REMOVE, SECINFO, LINK
            11 | 15 | 28 | 33 => file(c, out)?,
            29 => {
                file(c, out)?;
                file(c, out)?;
            }
            18 => open(c, out)?,
            // SETCLIENTID, EXCHANGE_ID: a verifier, then the client's name for itself; what follows isn't read.
            35 | 42 => {
                c.skip(8)?;
                let name = opaque(c, 1024)?;
                out.set_text(CLIENT_ID, name);
                return Some(());
            }
            // SEQUENCE: session, sequence number, slot, highest slot, flag.
            53 => c.skip(32)?,
            _ => return None,
        }
    }
    Some(())
}

fn bitmap(c: &mut Cursor<'_>) -> Option<()> {
    let words = c.u32().filter(|n| *n <= 8)?;
    c.skip(words as usize * 4)
}

/// OPEN (RFC 7530 §16.16): sequence number, access, deny, owner, how, and the claim with the name.
fn open(c: &mut Cursor<'_>, out: &mut Sink<'_>) -> Option<()> {
    c.skip(4 + 4 + 4 + 8)?;
    opaque(c, 1024)?;
    if c.u32()? == 1 {
        let mode = c.u32()?;
        // Exclusive creation has a verifier, all but the plain exclusive one have attributes.
        if mode >= 2 {
            c.skip(8)?;
        }
        if mode != 2 {
            bitmap(c)?;
            opaque(c, 1024)?;
        }
    }
    match c.u32()? {
        // CLAIM_NULL: by name.
        0 => file(c, out),
        // CLAIM_FH: the file is known.
        4 => Some(()),
        _ => None,
    }
}

/// The results of a call: all but the null procedure begin with a status.
pub(super) fn results(program: u32, version: u32, procedure: u32, results: &[u8], out: &mut Sink<'_>) {
    let has_status = (program == NFS && procedure != 0) || (program == MOUNT && procedure == 1);
    if !has_status || !(2..=4).contains(&version) && program == NFS {
        return;
    }
    let Some(status) = Cursor::new(results).u32() else { return };
    let name = match status {
        0 => return,
        1 => "perm",
        2 => "noent",
        5 => "io",
        6 => "nxio",
        13 => "acces",
        17 => "exist",
        20 => "notdir",
        21 => "isdir",
        22 => "inval",
        27 => "fbig",
        28 => "nospc",
        30 => "rofs",
        63 => "nametoolong",
        66 => "notempty",
        69 => "dquot",
        70 => "stale",
        10_004 => "notsupp",
        10_008 => "delay",
        10_011 => "expired",
        10_013 => "grace",
        10_016 => "wrongsec",
        10_022 => "stale_clientid",
        10_052 => "badsession",
        other => {
            out.push(ERRORS, other.to_string());
            return;
        }
    };
    out.push(ERRORS, name);
}

#[cfg(test)]
mod tests {
    use super::super::sunrpc::tests::{a_call, a_reply, record, string, words};
    use super::*;
    use crate::testing::Flow;

    #[test]
    fn version_3() {
        let handle = [words(&[8]), vec![7; 8]].concat();
        let lookup = a_call(1, NFS, 3, 3, &[handle.clone(), string("notes.txt")].concat());
        let rename = a_call(2, NFS, 3, 14, &[handle.clone(), string("a"), handle, string("b")].concat());
        let seen = Flow::udp(2049)
            .client(&lookup)
            .server(&a_reply(1, &words(&[2])))
            .client(&rename)
            .server(&a_reply(2, &words(&[0])))
            .run();
        assert_eq!(seen.protocol, ProtocolId::Nfs);
        assert_eq!(seen.show(VERSION), "3");
        assert_eq!(seen.show(PROCEDURES), "lookup,rename");
        assert_eq!(seen.show(FILES), "notes.txt,a,b");
        assert_eq!(seen.show(ERRORS), "noent");
    }

    #[test]
    fn version_2_and_mount() {
        let lookup = a_call(1, NFS, 2, 4, &[vec![7; 32], string("x")].concat());
        assert_eq!(Flow::udp(99).client(&lookup).run().show(FILES), "x");
        let mount = a_call(1, MOUNT, 3, 1, &string("/export"));
        let seen = Flow::udp(99).client(&mount).server(&a_reply(1, &words(&[13]))).run();
        assert_eq!(seen.protocol, ProtocolId::Nfs);
        assert_eq!(seen.show(MOUNTS), "/export");
        assert_eq!(seen.show(ERRORS), "acces");
    }

    #[test]
    fn version_4() {
        let open = [
            words(&[18, 0, 1, 0, 5, 5]),
            string("owner"),
            words(&[1, 1, 2, 16, 2, 4, 0o644, 0]),
            string("new.txt"),
        ]
        .concat();
        let arguments = [
            string(""),
            words(&[1, 6, 53, 0, 0, 0, 0, 1, 0, 0, 1, 22]),
            string("handle"),
            words(&[15]),
            string("dir"),
            words(&[9, 1, 0]),
            open,
            words(&[26]),
        ]
        .concat();
        let seen = Flow::tcp(2049).client(&record(&a_call(1, NFS, 4, 1, &arguments))).run_split();
        assert_eq!(seen.protocol, ProtocolId::Nfs);
        assert_eq!(seen.show(PROCEDURES), "sequence,putfh,lookup,getattr,open,readdir");
        assert_eq!(seen.show(FILES), "dir,new.txt");
    }

    #[test]
    fn cut_or_absurd_arguments() {
        for arguments in [vec![], words(&[0xffff_ffff]), words(&[0, 256, 0xffff_ffff, 22, 0xffff_ffff])] {
            for version in 2..=4 {
                let seen = Flow::udp(2049).client(&a_call(1, NFS, version, 14, &arguments)).run();
                assert_eq!(seen.show(FILES), "");
            }
        }
    }
}
