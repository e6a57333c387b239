//! What the engine is told, of captures and of links alike.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use daylight_inspect::catalog::Catalog;
use daylight_inspect::indicators::Indicators;
use daylight_inspect::{Config, Timeouts};
use daylight_packet::OverlapPolicy;

#[derive(Args)]
pub(crate) struct Engine {
    /// Add or override applications; may be given several times
    #[arg(long, value_name = "FILE")]
    pub(crate) catalog: Vec<PathBuf>,

    /// A list of bad domains, addresses, JA3/JA4 or certificate hashes: plain, hosts file or CSV; several times
    #[arg(long, value_name = "FILE")]
    pub(crate) indicators: Vec<PathBuf>,

    /// Threads; the records of a capture are the same for any number [default: one a core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) threads: Option<u16>,

    /// Seconds after which an idle TCP connection ends
    #[arg(long, value_name = "S", default_value_t = 300, help_heading = "Flows")]
    pub(crate) tcp_timeout: u32,

    /// Seconds after which an idle UDP flow ends (some protocols have shorter ones)
    #[arg(long, value_name = "S", default_value_t = 60, help_heading = "Flows")]
    pub(crate) udp_timeout: u32,

    /// Flows to follow at once; over it, those idle for longest end early
    #[arg(long, value_name = "N", default_value_t = 2_000_000, help_heading = "Flows",
          value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) max_flows: u64,

    /// MiB of out-of-order TCP segments to hold at once
    #[arg(long, value_name = "MIB", default_value_t = 64, help_heading = "Flows")]
    pub(crate) max_reassembly: u32,

    /// Which bytes count where IP fragments overlap
    #[arg(long, value_enum, default_value_t = Overlap::First, help_heading = "Flows")]
    pub(crate) fragment_overlap: Overlap,

    /// Check IPv4 header checksums (off, because offloading makes wrong ones common)
    #[arg(long, help_heading = "Flows")]
    pub(crate) verify_checksums: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Overlap {
    /// Those that came first
    First,
    /// Those that came last
    Last,
}

impl Engine {
    /// The engine's configuration, with flows in parts of so many seconds. Lines of a list that can't be read are told of, unless
    /// `quiet`.
    ///
    /// # Errors
    /// If a file can't be read, or is wrong.
    pub(crate) fn config(&self, active_s: u32, quiet: bool) -> Result<Config> {
        let mut catalog = Catalog::builtin();
        for path in &self.catalog {
            let text =
                std::fs::read_to_string(path).with_context(|| format!("can't read {}", path.display()))?;
            catalog = catalog.with_file(&text, &path.display().to_string())?;
        }
        let mut indicators = Indicators::default();
        for path in &self.indicators {
            let text = std::fs::read(path).with_context(|| format!("can't read {}", path.display()))?;
            let report = indicators.load(&String::from_utf8_lossy(&text), &path.display().to_string())?;
            if !quiet {
                for problem in &report.problems {
                    let _ = writeln!(io::stderr(), "daylight: {problem}");
                }
            }
        }
        let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Ok(Config {
            timeouts: Timeouts {
                tcp_established_s: self.tcp_timeout,
                udp_s: self.udp_timeout,
                active_s,
                ..Timeouts::default()
            },
            flows_max: usize::try_from(self.max_flows).unwrap_or(usize::MAX),
            reassembly_bytes_max: (self.max_reassembly as usize) << 20,
            fragment_overlap: match self.fragment_overlap {
                Overlap::First => OverlapPolicy::FirstWins,
                Overlap::Last => OverlapPolicy::LastWins,
            },
            verify_checksums: self.verify_checksums,
            catalog: Arc::new(catalog),
            indicators: (!self.indicators.is_empty()).then(|| Arc::new(indicators)),
            threads: self.threads.map_or_else(cores, usize::from),
            ..Config::default()
        })
    }
}
