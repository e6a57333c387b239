//! An input and a format make a source of frames.

use std::sync::Arc;

use daylight_packet::{Batch, FrameSource, SourceEnd, SourceError};

use crate::format::{Format, Progress};
use crate::input::{Input, Tail, Window};

pub(crate) struct CaptureSource {
    name: String,
    input: Box<dyn Input>,
    format: Format,
    window: Window,
    /// Where in the window the walk is, and where in the input.
    at: usize,
    offset: u64,
    end: Option<SourceEnd>,
}

impl CaptureSource {
    /// A source whose format was recognised in the first `window` of `input`; its walk starts at `start`.
    pub(crate) fn new(
        name: String,
        input: Box<dyn Input>,
        format: Format,
        window: Window,
        start: usize,
    ) -> Self {
        let at = window.start + start;
        Self { name, input, format, window, at, offset: start as u64, end: None }
    }
}

impl FrameSource for CaptureSource {
    fn next_batch(&mut self, frames_max: usize) -> Result<Option<Batch>, SourceError> {
        let frames_max = frames_max.max(1);
        let mut frames = Vec::new();
        while self.end.is_none() {
            let bytes = self.window.data.bytes();
            if frames.capacity() == 0 && self.at < bytes.len() {
                // A packet is rarely below 64 bytes with its record.
                frames.reserve_exact(frames_max.min((bytes.len() - self.at) / 64 + 1));
            }
            let walked = self.format.walk(bytes, self.at, &mut frames, frames_max);
            if let Some(reason) = self.input.lost() {
                frames.clear();
                self.end = Some(SourceEnd::Damaged { offset: self.offset, reason: reason.into() });
                break;
            }
            self.offset += (walked.at - self.at) as u64;
            self.at = walked.at;
            match walked.progress {
                Progress::Full => break,
                Progress::Damaged(reason) => {
                    self.end = Some(SourceEnd::Damaged { offset: self.offset, reason });
                }
                // A batch lies in one window. The next call comes here again, without frames.
                Progress::More(_) if !frames.is_empty() => break,
                Progress::More(need) => {
                    let rest = bytes.get(self.at..).unwrap_or_default();
                    match &self.window.tail {
                        Tail::End if rest.is_empty() => self.end = Some(SourceEnd::Complete),
                        Tail::End => {
                            let reason = self.format.cut_short(rest.len(), need);
                            self.end = Some(SourceEnd::Damaged { offset: self.offset, reason });
                        }
                        Tail::Damaged(reason) => {
                            let (offset, reason) = (self.offset + rest.len() as u64, reason.clone());
                            self.end = Some(SourceEnd::Damaged { offset, reason });
                        }
                        Tail::More => {
                            let window = self.input.window(self.offset, rest, need);
                            self.window = window.map_err(|error| SourceError {
                                message: format!("{}: can't be read on: {error}", self.name),
                                cause: Some(error),
                            })?;
                            self.at = self.window.start;
                        }
                    }
                }
            }
        }
        if frames.is_empty() {
            // Gives the memory back: nothing more comes out of it.
            self.window.data = Arc::new(Vec::new());
            self.at = 0;
            return Ok(None);
        }
        Ok(Some(Batch { data: Arc::clone(&self.window.data), frames }))
    }

    fn end(&self) -> SourceEnd {
        self.end.clone().unwrap_or(SourceEnd::Complete)
    }

    fn progress(&self) -> (u64, Option<u64>) {
        self.input.progress()
    }
}
