//! The project's everyday commands, each with one name: `cargo xtask`.

mod reference;

use std::env;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

const HELP: &str = "\
cargo xtask COMMAND

  run ARGS...   builds daylight and runs it; installs what the build needs
  check         what to run while working: format, clippy, tests
  test          everything that a change must pass; installs what it needs
  gen           writes the generated pages of docs/reference
  static        builds daylight as one file that needs nothing installed, for thumb drives
  fuzz [S]      runs every fuzz target for S seconds (default 600)
  bench-filter     measures the filter inline against plain forwarding
  bench-tunnel [OPTION]...  measures the tunnel against shadowsocks-libev and others
  bench-probe [OPTION]...   measures what a run of the probe takes
  bench-watch [OPTION]... CAPTURE...  measures at which rate a link is too fast, against ndpiReader
  bench-peer DIR   compares with ndpiReader on the captures in DIR
  score SHARED  scores the labels against the reference data in the folder SHARED
";

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let result = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["run", ..] => return run(args.get(1..).unwrap_or_default()),
        ["check"] => check(),
        ["test"] => test(),
        ["gen"] => reference::write(&root().join("docs/reference")),
        ["static"] => static_program(),
        ["fuzz"] => fuzz("600"),
        ["fuzz", seconds] => fuzz(seconds),
        ["bench-filter"] => script("scripts/bench-filter", &[]),
        ["bench-tunnel", ref options @ ..] => script("scripts/bench-tunnel", options),
        ["bench-probe", ref options @ ..] => script("scripts/bench-probe", options),
        ["bench-watch", ref options @ ..] => script("scripts/bench-watch", options),
        ["bench-peer", folder] => script("scripts/bench-peer", &[folder]),
        ["score", shared] => script("scripts/score", &[shared]),
        _ => {
            let _ = write!(io::stderr(), "{HELP}");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn root() -> PathBuf {
    // The folder of this package is one below the workspace's.
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(PathBuf::new, Path::to_path_buf)
}

/// Runs a step in the workspace's folder, and says what it was and how long it took.
fn step(title: &str, program: &str, args: &[&str], vars: &[(&str, &str)]) -> Result<()> {
    let _ = writeln!(io::stderr(), "\n== {title}: {program} {}", args.join(" "));
    let start = Instant::now();
    let status = Command::new(program)
        .args(args)
        .envs(vars.iter().copied())
        .current_dir(root())
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("can't start {program}"))?;
    if !status.success() {
        bail!("{title} failed ({status})");
    }
    let _ = writeln!(io::stderr(), "== {title}: {:.0} s", start.elapsed().as_secs_f64());
    Ok(())
}

fn cargo(title: &str, args: &[&str]) -> Result<()> {
    step(title, "cargo", args, &[])
}

fn check() -> Result<()> {
    cargo("format", &["fmt", "--all", "--check"])?;
    cargo("clippy", &["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"])?;
    tests("default")
}

/// What BoringSSL is built with.
const BUILD_PACKAGES: &[&str] = &["cmake", "g++", "libclang-dev"];

/// Programs that tests hold Daylight against; without them, and without root, those tests say so and do nothing.
const PACKAGES: &[&str] = &[
    "bind9-dnsutils",
    "caddy",
    "chromium",
    "conntrack",
    "curl",
    "dnsmasq-base",
    "ethtool",
    "iperf3",
    "iproute2",
    "iptables",
    "iputils-ping",
    "libndpi-bin",
    "nats-server",
    "nfdump",
    "nftables",
    "nginx-light",
    "obfs4proxy",
    "openssh-client",
    "openssh-server",
    "openssl",
    "poppler-utils",
    "procps",
    "python3",
    "python3-venv",
    "rsyslog",
    "shadowsocks-libev",
    "tcpdump",
    "tor",
    "tshark",
    "unbound",
    "util-linux",
];

/// Installs packages where that can be done: as root, on Debian.
fn install(packages: &[&str], without: &str) {
    let quiet = |program: &str, args: &[&str]| {
        let mut command = Command::new(program);
        command
            .args(args)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    if packages.iter().all(|package| quiet("dpkg", &["-s", package])) {
        return;
    }
    let _ = writeln!(io::stderr(), "\n== packages: {}", packages.join(" "));
    let mut install = vec!["install", "-y", "-q", "--no-install-recommends"];
    install.extend(packages);
    let installed = quiet("apt-get", &["update", "-q"]) && quiet("apt-get", &install);
    if !installed {
        let _ = writeln!(io::stderr(), "== they can't be installed here: {without}");
    }
}

/// Builds the program and runs it in this folder, with this input.
fn run(args: &[String]) -> ExitCode {
    install(BUILD_PACKAGES, "the build will fail without them");
    let manifest = root().join("Cargo.toml");
    let mut command = Command::new("cargo");
    command
        .args(["run", "--release", "--bin", "daylight", "--manifest-path"])
        .arg(manifest)
        .arg("--")
        .args(args);
    match command.status() {
        Ok(status) => ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)),
        Err(error) => {
            let _ = writeln!(io::stderr(), "xtask: can't start cargo: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Debian's C library can be linked in since its lookup of names is part of it (glibc 2.34).
const STATIC_TARGET: &str = "x86_64-unknown-linux-gnu";

/// A program without shared libraries and without debugging information.
fn static_program() -> Result<()> {
    install(BUILD_PACKAGES, "the build will fail without them");
    let strip = ["--config", "profile.release.strip='symbols'", "--config", "profile.release.debug=false"];
    // In a folder of its own: with other flags nothing of the ordinary build is of use, and that need not wait.
    let build = [
        "build",
        "--release",
        "--bin",
        "daylight",
        "--target",
        STATIC_TARGET,
        "--target-dir",
        "target/static",
    ];
    // BoringSSL's C++ library too; it lies in a folder of the compiler's own.
    let library =
        Command::new("c++").arg("-print-file-name=libstdc++.a").output().context("can't start c++")?;
    let library = String::from_utf8_lossy(&library.stdout).into_owned();
    let folder = Path::new(library.trim()).parent().unwrap_or_else(|| Path::new("")).display();
    let flags = format!("-C target-feature=+crt-static -L native={folder}");
    step(
        "static build",
        "cargo",
        &[&build[..], &strip].concat(),
        &[("RUSTFLAGS", &flags), ("BORING_BSSL_RUST_CPPLIB", "static=stdc++")],
    )?;
    let _ = writeln!(io::stderr(), "== built: target/static/{STATIC_TARGET}/release/daylight");
    Ok(())
}

fn test() -> Result<()> {
    install(BUILD_PACKAGES, "the build will fail without them");
    install(PACKAGES, "tests that need them will say so");
    python();
    cargo("format", &["fmt", "--all", "--check"])?;
    cargo("clippy", &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])?;
    step("docs", "cargo", &["doc", "--workspace", "--no-deps"], &[("RUSTDOCFLAGS", "-D warnings")])?;
    dependencies()?;
    // The fuzz harness runs its seeds and every input that once failed.
    // Where the workspace's dependencies are built already.
    cargo("fuzz seeds", &["test", "--manifest-path", "fuzz/Cargo.toml", "--target-dir", "target"])?;
    // Last, so that its closing lines are the run's.
    tests("ci")
}

/// Makes `target/python`, with the packages that tests hold Daylight against: what `crates/*/tests/requirements.txt` name.
/// Without it, those tests say so and do nothing.
fn python() {
    let folder = root().join("target/python");
    let mut files: Vec<PathBuf> = std::fs::read_dir(root().join("crates"))
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path().join("tests/requirements.txt")))
        .filter(|path| path.exists())
        .collect();
    files.sort();
    let made =
        step("python", "python3", &["-m", "venv", &folder.display().to_string()], &[]).and_then(|()| {
            let files: Vec<String> =
                files.iter().flat_map(|file| ["-r".into(), file.display().to_string()]).collect();
            let mut args = vec!["install", "--quiet", "--disable-pip-version-check"];
            args.extend(files.iter().map(String::as_str));
            step("python packages", &folder.join("bin/pip").display().to_string(), &args, &[])
        });
    if let Err(error) = made {
        let _ = writeln!(io::stderr(), "== {error:#}: tests that need Python's packages will say so");
    }
}

/// Examples in the docs by cargo, the rest by nextest, as `.config/nextest.toml` says.
fn tests(profile: &str) -> Result<()> {
    tool("nextest", "cargo-nextest", "0.9.143")?;
    cargo("examples in docs", &["test", "--workspace", "--doc", "--quiet"])?;
    cargo("tests", &["nextest", "run", "--workspace", "--profile", profile])
}

/// Licences, sources and bans. Advisories need a database from the network: where it can be had, they are checked too.
fn dependencies() -> Result<()> {
    tool("deny", "cargo-deny", "0.20.2")?;
    cargo("dependencies", &["deny", "--all-features", "check", "bans", "licenses", "sources"])
}

/// Installs a cargo command where there is none of its name.
fn tool(command: &str, package: &str, version: &str) -> Result<()> {
    let is_installed = Command::new("cargo")
        .args([command, "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if is_installed {
        return Ok(());
    }
    cargo(&format!("install {package}"), &["install", package, "--locked", "--version", version, "--debug"])
}

fn fuzz(seconds: &str) -> Result<()> {
    let targets = std::fs::read_dir(root().join("fuzz/fuzz_targets")).context("fuzz/fuzz_targets")?;
    let mut names: Vec<String> = targets
        .filter_map(|entry| entry.ok()?.path().file_stem().map(|n| n.to_string_lossy().into_owned()))
        .collect();
    names.sort();
    for name in names {
        let limit = format!("-max_total_time={seconds}");
        // cargo-fuzz wants sanitizers, which the stable compiler has behind this switch.
        step(
            &name,
            "cargo",
            &[
                "fuzz",
                "run",
                "--features",
                "libfuzzer",
                &name,
                "--",
                &limit,
                "-timeout=10",
                "-rss_limit_mb=2048",
            ],
            &[("RUSTC_BOOTSTRAP", "1")],
        )?;
    }
    Ok(())
}

fn script(path: &str, args: &[&str]) -> Result<()> {
    step(path, &root().join(path).display().to_string(), args, &[])
}
