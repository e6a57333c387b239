//! The progress bar on standard error, and the watch for Ctrl-C.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::interrupt::is_interrupted;
use daylight_inspect::Control;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A run that is over before this gets no bar.
const PATIENCE: Duration = Duration::from_millis(700);

/// A bar for one capture.
pub(crate) struct Progress {
    title: String,
    shown: bool,
    /// An interruption stops the run. (A pipe ends by itself then, and what it held is to be read.)
    stops: bool,
}

impl Progress {
    pub(crate) fn new(name: &str, index: usize, of: usize, quiet: bool) -> Self {
        let stops = name != "-";
        let title = if of > 1 { format!("{name} ({} of {of})", index + 1) } else { name.to_owned() };
        Self { title: crate::term::fit(&title, 30), shown: !quiet && std::io::stderr().is_terminal(), stops }
    }

    /// Runs `work`, and meanwhile shows how far it is and passes an interruption on.
    pub(crate) fn watch<T>(&self, control: &Control, work: impl FnOnce() -> T) -> T {
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let watcher = scope.spawn(|| self.show(control, &done));
            // Also when the work panics, or the watcher would wait for ever.
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
            done.store(true, Ordering::Relaxed);
            watcher.thread().unpark();
            result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    fn show(&self, control: &Control, done: &AtomicBool) {
        let start = Instant::now();
        let mut bar: Option<ProgressBar> = None;
        while !done.load(Ordering::Relaxed) {
            std::thread::park_timeout(Duration::from_millis(100));
            if self.stops && is_interrupted() {
                control.stop();
            }
            if !self.shown || start.elapsed() < PATIENCE {
                continue;
            }
            let (read, total) = control.progress();
            let bar = bar.get_or_insert_with(|| self.bar(total));
            bar.set_position(read);
        }
        if let Some(bar) = bar {
            bar.finish_and_clear();
        }
    }

    fn bar(&self, total: u64) -> ProgressBar {
        let (length, template) = if total > 0 {
            (
                Some(total),
                "{msg} {wide_bar} {decimal_bytes}/{decimal_total_bytes} {decimal_bytes_per_sec} {eta}",
            )
        } else {
            (None, "{msg} {spinner} {decimal_bytes} {decimal_bytes_per_sec}")
        };
        let bar = ProgressBar::with_draw_target(length, ProgressDrawTarget::stderr());
        // The templates are constants; a wrong one would leave the default style.
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message(self.title.clone());
        bar
    }
}
