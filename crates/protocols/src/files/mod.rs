//! Files.

pub mod ftp;
pub mod ftp_data;
pub mod ftps;
pub mod nfs;
pub(crate) mod ntlmssp;
pub mod smb;
pub mod smb1;
pub mod smb2;
pub mod sunrpc;
pub mod tftp;
