//! Opening queues, and why that can fail.

use std::time::{Duration, Instant};

use daylight_capture::nfqueue::{Bits, Error, Options, Queue, Verdict};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

use crate::net::{Host, Net, SERVER_V4};
use crate::traffic::Numbers;

#[test]
fn a_queue_has_one_reader() {
    let Some(net) = Net::new() else { return };
    let first = net.queue(7, Options::default());
    let refused = net.within(Host::Router, || {
        // In one thread, since the kernel's table is that of the thread's namespace.
        Queue::open(7, Options::default()).unwrap_err()
    });
    assert!(matches!(refused, Error::Taken { number: 7, holder: Some(1..) }), "{refused}");
    // Other queues of the same process are no matter, and a queue that was given back can be had again.
    drop(net.queue(8, Options::default()));
    drop(first);
    drop(net.queue(7, Options::default()));
}

#[test]
fn it_takes_a_capability() {
    let Some(net) = Net::new() else { return };
    let refused = net.within(Host::Router, || {
        let none = CapabilitySet::empty();
        let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
        set_capabilities(None, sets).unwrap();
        Queue::open(7, Options::default()).unwrap_err()
    });
    assert!(matches!(refused, Error::NotPermitted { number: 7 }), "{refused}");
    assert!(refused.to_string().contains("CAP_NET_ADMIN"));
}

#[test]
fn numbers_and_options_have_limits() {
    let refused = |number, options| Queue::open(number, options).unwrap_err().to_string();
    assert!(refused(65536, Options::default()).contains("0 to 65535"));
    let options = Options { copy_range: 0, ..Options::default() };
    assert_eq!(refused(0, options), "copy_range is 0; it must be from 1 to 65531");
    let options = Options { batch_len: 1000, ..Options::default() };
    assert_eq!(refused(0, options), "batch_len is 1000; it must be from 1 to 128");
}

#[test]
fn it_is_set_up_as_asked() {
    let Some(net) = Net::new() else { return };
    let options =
        Options { copy_range: 1234, receive_buffer_bytes: 64 << 20, queue_len: 99, ..Options::default() };
    net.within(Host::Router, move || {
        let queue = Queue::open(65535, options).unwrap();
        let counters = queue.kernel_counters().unwrap().unwrap();
        assert_eq!((counters.copy_range, counters.waiting), (1234, 0));
        assert_eq!(queue.receive_buffer_bytes().unwrap(), 64 << 20);
    });
}

#[test]
fn receiving_ends_in_time() {
    let Some(net) = Net::new() else { return };
    let mut queue = net.queue(7, Options::default());
    for timeout in [Duration::ZERO, Duration::from_millis(30)] {
        let start = Instant::now();
        assert!(queue.receive(Some(timeout)).unwrap().is_empty());
        assert!(start.elapsed() >= timeout);
    }
}

/// Kernels differ in this; either way nothing is promised that doesn't come.
#[test]
fn connections_are_told_or_refused() {
    let Some(net) = Net::new() else { return };
    net.rule("-t mangle -A FORWARD -m conntrack --ctstate NEW,ESTABLISHED -j NFQUEUE --queue-num 7");
    let options = Options { connections: true, ..Options::default() };
    let numbers = Numbers::new(&net, SERVER_V4);
    match net.within(Host::Router, || Queue::open(7, options)) {
        Ok(mut queue) => {
            numbers.send([1]);
            let mut batch = queue.receive(None).unwrap();
            let (packet, verdict) = batch.iter_mut().next().unwrap();
            assert!(packet.connection.is_some());
            *verdict = Verdict::ACCEPT.connection_marked(Bits { value: 4, mask: 4 });
            queue.send().unwrap();
            numbers.send([2]);
            let batch = queue.receive(None).unwrap();
            assert_eq!(batch.packet(0).unwrap().connection.unwrap().mark, 4);
        }
        Err(error) => {
            eprintln!("this kernel can't tell connections: {error}");
            assert!(matches!(error, Error::NoConnections), "{error}");
            // The queue was not taken by the attempt, and without the option it works.
            let mut queue = net.queue(7, Options::default());
            numbers.send([1]);
            let mut batch = queue.receive(None).unwrap();
            let (packet, verdict) = batch.iter_mut().next().unwrap();
            assert_eq!(packet.connection, None);
            *verdict = Verdict::ACCEPT.connection_marked(Bits { value: 4, mask: 4 });
            let error = queue.send().unwrap_err();
            assert!(matches!(error, Error::ConnectionMark { number: 7 }), "{error}");
        }
    }
    assert_eq!(numbers.expect(1), [1], "the packet went on all the same");
}
