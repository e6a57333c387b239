//! Whoever changes the log is found out.

use super::*;

/// A copy of the log in `from` with one file changed.
fn with_changed(from: &Path, file: &Path, change: impl FnOnce(&mut Vec<u8>)) -> tempfile::TempDir {
    let to = tempfile::tempdir().unwrap();
    copy(from, to.path());
    let changed = to.path().join(file.strip_prefix(from).unwrap());
    let mut bytes = fs::read(&changed).unwrap();
    change(&mut bytes);
    fs::write(changed, bytes).unwrap();
    to
}

/// What an operator who has the key would write to hide something: a log of other entries, well-formed and signed.
fn forged(entries: &[Entry]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    Writer::create(folder.path(), signer()).unwrap().append(entries).unwrap();
    folder
}

fn eight() -> Vec<Entry> {
    [load(), totals(0, 6)].concat()
}

#[test]
fn no_bit_of_any_file_can_be_changed() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(folder.path(), signer()).unwrap();
    writer.append(&load()).unwrap();
    writer.append(&totals(0, 3)).unwrap();
    assert_eq!(verify(folder.path(), &key()).unwrap().files, 4);
    for file in files(folder.path()) {
        for at in 0..fs::read(&file).unwrap().len() {
            let changed = with_changed(folder.path(), &file, |bytes| bytes[at] ^= 1 << (at % 8));
            assert!(verify(changed.path(), &key()).is_err(), "{} byte {at}", file.display());
        }
    }
}

#[test]
fn no_file_can_be_cut_or_lengthened_or_missing() {
    let folder = tempfile::tempdir().unwrap();
    log_of(folder.path(), 6);
    for file in files(folder.path()) {
        for length in 0..fs::read(&file).unwrap().len() {
            let cut = with_changed(folder.path(), &file, |bytes| bytes.truncate(length));
            assert!(verify(cut.path(), &key()).is_err(), "{} cut to {length}", file.display());
            let partial = file.to_string_lossy().contains(".p/2");
            assert_eq!(
                Writer::open(cut.path(), signer()).is_ok(),
                partial,
                "{} cut to {length}",
                file.display()
            );
        }
        let longer = with_changed(folder.path(), &file, |bytes| bytes.push(b'\n'));
        assert!(verify(longer.path(), &key()).is_err(), "{}", file.display());
    }
    for file in files(folder.path()).iter().filter(|file| !file.to_string_lossy().contains(".p/2")) {
        let missing = with_changed(folder.path(), file, |_| {});
        fs::remove_file(missing.path().join(file.strip_prefix(folder.path()).unwrap())).unwrap();
        assert!(verify(missing.path(), &key()).is_err(), "{}", file.display());
    }
}

#[test]
fn full_tiles_and_higher_levels_are_checked() {
    let folder = tempfile::tempdir().unwrap();
    log_of(folder.path(), 600);
    let verified = verify(folder.path(), &key()).unwrap();
    // Three bundles, three tiles of leaves, one tile of level 1, and the narrower one of before.
    assert_eq!((verified.files, verified.pending), (8, 0));
    for file in files(folder.path()) {
        for at in [0, 5000, 8191] {
            if fs::read(&file).unwrap().len() > at {
                let changed = with_changed(folder.path(), &file, |bytes| bytes[at] ^= 1);
                assert!(verify(changed.path(), &key()).is_err(), "{} byte {at}", file.display());
            }
        }
    }
    fs::write(folder.path().join("tile/0/note"), "").unwrap();
    let error = verify(folder.path(), &key()).unwrap_err().to_string();
    assert!(error.contains("not the name of a tile"), "{error}");
}

/// Each kind of tampering, by one who has the key and signs a new checkpoint: against what somebody else kept, it shows.
#[test]
fn changed_dropped_reordered_and_back_dated_entries_are_found() {
    let honest = forged(&eight());
    let kept = Log::open(honest.path(), &key()).unwrap();
    let mut changed = eight();
    let Event::Totals(totals) = &mut changed[4].event else { panic!() };
    totals.counts.flows += 1;
    let mut dropped = eight();
    dropped.remove(4);
    dropped.push(eight()[7].clone());
    let mut reordered = eight();
    let (four, five) = (reordered[4].event.clone(), reordered[5].event.clone());
    (reordered[4].event, reordered[5].event) = (five, four);
    // Within what the order of times allows.
    let mut back_dated = eight();
    back_dated[5].time = back_dated[4].time;
    for (what, entries) in
        [("changed", changed), ("dropped", dropped), ("reordered", reordered), ("back-dated", back_dated)]
    {
        let other = forged(&entries);
        // On its own the forgery is well-formed: that is what split views are about.
        let log = Log::open(other.path(), &key()).unwrap();
        let Comparison::Split(view) = compare_logs(&kept, &log).unwrap() else {
            panic!("{what} was not found")
        };
        view.verify(&key()).unwrap();
        // Without the key, it shows at once.
        fs::copy(honest.path().join("checkpoint"), other.path().join("checkpoint")).unwrap();
        assert!(matches!(verify(other.path(), &key()), Err(AuditError::Root { size: 8, .. })), "{what}");
    }
}

#[test]
fn the_writer_never_dates_back() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = log_of(folder.path(), 8);
    let error = writer.append(&totals(3, 4)).unwrap_err();
    assert!(matches!(error, AuditError::BackDated { index: 8, .. }), "{error}");
    assert_eq!(writer.len(), 8);
    assert_eq!(writer.no_earlier(time(3)), time(5));
    drop(writer);
    let mut writer = Writer::open(folder.path(), signer()).unwrap();
    assert!(matches!(writer.append(&totals(3, 4)), Err(AuditError::BackDated { .. })));
    writer.append(&totals(5, 9)).unwrap();
}

/// A log that somebody with the key wrote by other means, with times that go back.
#[test]
fn times_that_go_back_are_found_in_a_log() {
    let mut entries = eight();
    entries[6].time = time(1);
    let folder = tempfile::tempdir().unwrap();
    let mut edge = tile::Edge::default();
    let mut bundle = Vec::new();
    for entry in &entries {
        let bytes = entry.encode().unwrap();
        tile::push_entry(&mut bundle, &bytes);
        edge.push(Hash::leaf(&bytes), &mut |_, _| {});
    }
    fs::create_dir_all(folder.path().join("tile/0/000.p")).unwrap();
    fs::create_dir_all(folder.path().join("tile/entries/000.p")).unwrap();
    fs::write(folder.path().join("tile/entries/000.p/8"), bundle).unwrap();
    let (_, hashes) = edge.partials().next().unwrap();
    fs::write(folder.path().join("tile/0/000.p/8"), tile::hash_bytes(hashes)).unwrap();
    let checkpoint = Checkpoint { origin: NAME.to_owned(), size: 8, root: edge.root() };
    let signed = SignedCheckpoint::sign(checkpoint, &[&signer()]);
    fs::write(folder.path().join("checkpoint"), signed.to_string()).unwrap();
    assert!(matches!(verify(folder.path(), &key()), Err(AuditError::BackDated { index: 6, .. })));
    let mut tail = Log::open(folder.path(), &key()).unwrap().tail(0).unwrap();
    assert!(matches!(tail.poll(), Err(AuditError::BackDated { index: 6, .. })));
}

#[test]
fn split_views_of_one_size_are_found_from_checkpoints_alone() {
    let (one, other) = (forged(&eight()), forged(&[load(), totals(1, 7)].concat()));
    let read = |folder: &tempfile::TempDir| {
        let text = fs::read_to_string(folder.path().join("checkpoint")).unwrap();
        SignedCheckpoint::verified(&text, &key()).unwrap()
    };
    let (one, other) = (read(&one), read(&other));
    let Comparison::Split(view) = compare_checkpoints(&one, &other, &key()).unwrap() else { panic!() };
    let again: Proof = view.to_string().parse().unwrap();
    again.verify(&key()).unwrap();
    assert_eq!(view.checkpoints().map(|c| c.to_string()), [one.to_string(), other.to_string()]);
    assert_eq!(compare_checkpoints(&one, &one, &key()).unwrap(), Comparison::Consistent);
    let stranger = Signer::of_seed(NAME, 9);
    let foreign = SignedCheckpoint::sign(other.checkpoint().clone(), &[&stranger]);
    assert!(matches!(compare_checkpoints(&one, &foreign, &key()), Err(AuditError::WrongKey { .. })));
}

#[test]
fn split_views_of_different_sizes_are_found_from_the_longer_log() {
    let one = forged(&[load(), totals(0, 3)].concat());
    let other = forged(&[load(), totals(0, 2), totals(3, 300)].concat());
    let (one, other) = (Log::open(one.path(), &key()).unwrap(), Log::open(other.path(), &key()).unwrap());
    assert_eq!(
        compare_checkpoints(one.checkpoint(), other.checkpoint(), &key()).unwrap(),
        Comparison::Unknown
    );
    for comparison in [compare_logs(&one, &other), compare_logs(&other, &one)] {
        let Comparison::Split(view) = comparison.unwrap() else { panic!() };
        view.to_string().parse::<Proof>().unwrap().verify(&key()).unwrap();
    }
    // The evidence can't be made up: a checkpoint that the other continues is no contradiction.
    let honest = forged(&[load(), totals(0, 2)].concat());
    let honest = Log::open(honest.path(), &key()).unwrap();
    assert_eq!(compare_logs(&honest, &other).unwrap(), Comparison::Consistent);
    assert_eq!(compare_logs(&honest, &one).unwrap(), Comparison::Consistent);
    let made_up = SplitView::new(honest.checkpoint().clone(), other.prove_consistency(4).unwrap());
    assert!(matches!(made_up.verify(&key()), Err(AuditError::Proof { .. })));
}

#[test]
fn a_follower_sees_a_log_that_was_rewritten() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = log_of(folder.path(), 8);
    let mut tail = Log::open(folder.path(), &key()).unwrap().tail(0).unwrap();
    assert_eq!(tail.poll().unwrap().len(), 8);
    assert!(tail.poll().unwrap().is_empty());
    writer.append(&totals(6, 300)).unwrap();
    let new = tail.poll().unwrap();
    assert_eq!((new.len(), new[0].0, tail.next_index()), (294, 8, 302));
    drop(writer);
    let replace = |entries: &[Entry]| {
        let other = forged(entries);
        fs::remove_dir_all(folder.path()).unwrap();
        copy(other.path(), folder.path());
    };
    replace(&[load(), totals(0, 5), totals(6, 400)].concat());
    let error = tail.poll().unwrap_err();
    let AuditError::SplitView(view) = error else { panic!("{error}") };
    view.verify(&key()).unwrap();
    replace(&eight());
    assert!(matches!(tail.poll(), Err(AuditError::Shrunk { before: 302, now: 8 })));
    assert_eq!(tail.next_index(), 302);
}

#[test]
fn the_log_goes_over_to_a_new_key() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = log_of(folder.path(), 8);
    let mut tail = Log::open(folder.path(), &key()).unwrap().tail(3).unwrap();
    let stranger = Signer::of_seed("other.example/log", 2);
    assert!(matches!(writer.rotate(time(6), stranger), Err(AuditError::Key { .. })));
    let new = Signer::of_seed(NAME, 2).verifier_key().clone();
    writer.rotate(time(6), Signer::of_seed(NAME, 2)).unwrap();
    // The checkpoint of the handover is signed by both.
    writer.checkpoint().verify(&key()).unwrap();
    writer.checkpoint().verify(&new).unwrap();
    drop(writer);
    assert!(matches!(Writer::open(folder.path(), signer()), Err(AuditError::WrongKey { .. })));
    let mut writer = Writer::open(folder.path(), Signer::of_seed(NAME, 2)).unwrap();
    writer.append(&totals(6, 9)).unwrap();
    for trusted in [key(), new.clone()] {
        let verified = verify(folder.path(), &trusted).unwrap();
        assert_eq!((verified.keys, &verified.key), (vec![key(), new.clone()], &new));
        assert_eq!(Log::open(folder.path(), &trusted).unwrap().key(), &new);
    }
    assert_eq!(tail.poll().unwrap().len(), 9);
    assert_eq!(tail.key(), &new);
    let other = Signer::of_seed(NAME, 3).verifier_key().clone();
    assert!(matches!(verify(folder.path(), &other), Err(AuditError::WrongKey { .. })));
    // A statement taken from another place in the log is none.
    let entry = Log::open(folder.path(), &new).unwrap().entry(8).unwrap();
    let Event::KeyRotated(rotation) = entry.event else { panic!() };
    rotation.verify(8).unwrap();
    assert!(rotation.verify(9).is_err());
}

#[test]
fn content_that_contradicts_itself_is_found() {
    let rule_alone = Entry { time: time(0), event: Event::Rule(rule("malware")) };
    let missing_rule = [&load()[..1], &totals(0, 1)].concat();
    let unfinished = load()[..1].to_vec();
    let never_published = totals(0, 1);
    let mut future = [load(), totals(0, 1)].concat();
    let Event::Totals(of_later) = &mut future[2].event else { panic!() };
    of_later.hour = time(600).hour();
    for entries in [vec![rule_alone], missing_rule, unfinished, never_published, future] {
        let folder = forged(&entries);
        let result = verify(folder.path(), &key());
        assert!(matches!(result, Err(AuditError::Content { .. })), "{result:?}");
    }
}
