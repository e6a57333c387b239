//! Prints the average run lengths of the reference: what the thresholds cost in false alarms, and in delay.
//!
//!     cargo run -p daylight-incident --example run_length

use std::io::Write as _;

use daylight_incident::detect::Parameters;
use daylight_incident::detect::run_length::average_run_length;

fn main() -> std::io::Result<()> {
    let parameters = Parameters::default();
    let shares = parameters.shares;
    let mut out = std::io::stdout();
    writeln!(out, "| share of probes that meet interference | probes until *changed* |\n|---:|---:|")?;
    for share in [0.01, 0.05, 0.08, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.7, 0.9, 1.0] {
        let length = average_run_length(&shares, parameters.interference.onset, share);
        writeln!(out, "| {:.0} % | {length:.3e} |", share * 100.0)?;
    }
    Ok(())
}
