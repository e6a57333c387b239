//! `daylight serve passwd`: a user's password, from a terminal without showing it or from a pipe.

use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use daylight_dashboard::set_password;
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};

use super::args::Passwd;

/// More than any password has.
const LEN_MAX: usize = 4096;

pub(super) fn run(args: &Passwd) -> Result<ExitCode> {
    let stdin = io::stdin();
    let password = if stdin.is_terminal() {
        let Some(password) = typed(&format!("Password of {}: ", args.user))? else {
            return Ok(ExitCode::from(130));
        };
        let Some(again) = typed("Once more: ")? else { return Ok(ExitCode::from(130)) };
        if password != again {
            bail!("the two are not the same; nothing was changed");
        }
        password
    } else {
        let mut line = String::new();
        let mut bounded = stdin.lock().take(LEN_MAX as u64);
        bounded.read_line(&mut line).context("can't read the password from standard input")?;
        line.trim_end_matches(['\r', '\n']).to_owned()
    };
    set_password(&args.file, &args.user, &password)?;
    let _ = writeln!(io::stderr(), "daylight: {} may log in", args.user);
    Ok(ExitCode::SUCCESS)
}

/// Puts the terminal back as it was.
struct Quiet(Termios);

impl Quiet {
    /// What is typed isn't shown, and comes at once, Ctrl-C too: a signal would end the program with the terminal like this.
    fn begin() -> Result<Self> {
        let before = tcgetattr(io::stdin()).context("can't ask the terminal how it is")?;
        let mut quiet = before.clone();
        quiet.local_modes &= !(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
        quiet.special_codes[SpecialCodeIndex::VMIN] = 1;
        quiet.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(io::stdin(), OptionalActions::Flush, &quiet).context("can't hide what is typed")?;
        Ok(Self(before))
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &self.0);
    }
}

/// A line that isn't shown; `None` if Ctrl-C was pressed.
fn typed(prompt: &str) -> Result<Option<String>> {
    let mut to = io::stderr();
    let _ = write!(to, "{prompt}").and_then(|()| to.flush());
    let _quiet = Quiet::begin()?;
    let line = line(&mut io::stdin().lock());
    let _ = writeln!(to);
    line
}

/// A line as a terminal would give it: with what was taken back taken out.
fn line(from: &mut impl Read) -> Result<Option<String>> {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while from.read(&mut byte).context("can't read the password")? == 1 && bytes.len() < LEN_MAX {
        match byte[0] {
            b'\r' | b'\n' | 0x04 => break,
            0x03 | 0x1c => return Ok(None),
            // Ctrl-U: all of it.
            0x15 => bytes.clear(),
            0x08 | 0x7f => while bytes.pop().is_some_and(|last| last & 0xc0 == 0x80) {},
            other => bytes.push(other),
        }
    }
    String::from_utf8(bytes).map(Some).context("the password isn't UTF-8")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::line;

    #[test]
    fn what_is_typed() {
        let of = |keys: &str| line(&mut keys.as_bytes()).unwrap();
        assert_eq!(of("geheim\nmore").as_deref(), Some("geheim"));
        assert_eq!(of("gehö\u{7f}oim\r").as_deref(), Some("gehoim"));
        assert_eq!(of("wrong\u{15}right\u{4}").as_deref(), Some("right"));
        assert_eq!(of("\u{8}\u{8}a\n").as_deref(), Some("a"));
        assert_eq!(of("half\u{3}").as_deref(), None);
    }
}
