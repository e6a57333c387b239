//! SSH by OpenSSH, with a host key of the run. Nobody can log in: it is there to be seen.

use std::path::Path;
use std::process::{Command, Stdio};

use super::{system_program, write};
use crate::LabError;
use crate::scenario::model::Service;

pub(super) fn configure(service: &Service, folder: &Path) -> Result<Vec<String>, LabError> {
    let key = folder.join("host_key");
    if !key.exists() {
        let made = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-f"])
            .arg(&key)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status();
        if !made.is_ok_and(|status| status.success()) {
            return Err(LabError::Missing {
                program: "ssh-keygen".into(),
                needs: "an ssh service".into(),
                package: "openssh-client",
            });
        }
    }
    let port = service.port.as_ref().map_or(22, |p| *p.get_ref());
    let file = folder.join("sshd_config");
    let text = format!(
        "Port {port}\nHostKey {}\nPidFile none\nUsePAM no\nPasswordAuthentication no\n\
         KbdInteractiveAuthentication no\nPubkeyAuthentication no\nPermitRootLogin no\n",
        key.display()
    );
    write(&file, text)?;
    Ok(vec![system_program("sshd"), "-D".into(), "-e".into(), "-f".into(), file.display().to_string()])
}
