//! How much memory the process takes.

use std::fs;

/// Bytes of memory that the process has in use; 0 if the kernel doesn't say.
pub fn resident_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kib.unwrap_or(0) << 10
}

/// Whether that is more than `most` bytes.
pub(crate) fn is_beyond(most: u64) -> bool {
    resident_bytes() > most
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_takes_some() {
        assert!(is_beyond(100_000) && !is_beyond(1 << 40));
    }
}
