//! Running things together, without a task for each: what is dropped stops.

use std::pin::Pin;
use std::task::{Context, Poll};

/// Runs futures together and gives their results in their order.
pub(crate) fn all<F: Future>(work: impl Iterator<Item = F>) -> All<F> {
    All(work.map(|one| Slot { future: Box::pin(one), output: None }).collect())
}

struct Slot<F: Future> {
    future: Pin<Box<F>>,
    output: Option<F::Output>,
}

/// Futures, and what those that are done gave.
pub(crate) struct All<F: Future>(Vec<Slot<F>>);

/// The futures are pinned where they are; what they gave is not looked into.
impl<F: Future> Unpin for All<F> {}

impl<F: Future> Future for All<F> {
    type Output = Vec<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut pending = false;
        for slot in &mut self.0 {
            if slot.output.is_none() {
                match slot.future.as_mut().poll(cx) {
                    Poll::Ready(value) => slot.output = Some(value),
                    Poll::Pending => pending = true,
                }
            }
        }
        if pending {
            return Poll::Pending;
        }
        Poll::Ready(self.0.drain(..).filter_map(|slot| slot.output).collect())
    }
}
