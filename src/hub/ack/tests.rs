//! What is safe to save, as subscribers acknowledge in their own order.

use super::*;

/// An event whose ID is its position.
fn event(position: u64) -> Event {
    with_id(position, position)
}

fn with_id(id: u64, position: u64) -> Event {
    Event::builder().id(id.to_string()).build().unwrap().at(position)
}

fn take(handle: &AckHandle, position: u64) -> Event {
    take_event(handle, event(position))
}

fn take_event(handle: &AckHandle, event: Event) -> Event {
    match handle.take(|| Poll::Ready(Some(Delivery::Event(event)))) {
        Poll::Ready(Some(Delivery::Event(event))) => event,
        other => panic!("{other:?}"),
    }
}

fn safe(tracker: &AckTracker, last: u64) -> Option<u64> {
    tracker.safe_id(|| last.to_string().into()).map(|id| id.parse().unwrap())
}

fn tracker() -> Arc<AckTracker> {
    Arc::new(AckTracker::new(Arc::default()))
}

/// One subscription: which events it gets (each `every`th), and what has become of them.
struct Model {
    handle: AckHandle,
    every: u64,
    queued: VecDeque<u64>,
    taken: Vec<Event>,
}

/// The tracker says what counting from the beginning would, in any order of publishing, taking and
/// acknowledging. Each third time three events in a row have the same ID.
#[test]
fn the_newest_event_before_anything_open_is_safe() {
    for seed in 0..200 {
        let mut random = fastrand::Rng::with_seed(seed);
        let tracker = tracker();
        let id = |position: u64| if seed % 3 == 0 { position.div_ceil(3) } else { position };
        let model = |every| Model {
            handle: tracker.open(1 << 20, false, &Arc::default()),
            every,
            queued: VecDeque::new(),
            taken: Vec::new(),
        };
        let mut models = [model(1), model(2), model(7)];
        let (mut position, mut acknowledged, mut known) = (0, BTreeSet::new(), 0);
        for _step in 0..300 {
            let one = random.usize(0..models.len());
            match random.u8(0..4) {
                0 => {
                    position += 1;
                    for model in models.iter_mut().filter(|model| position % model.every == 0) {
                        tracker.published(&[model.handle.number], &with_id(id(position), position));
                        model.queued.push_back(position);
                    }
                }
                1 => {
                    let model = &mut models[one];
                    let next = model.queued.pop_front();
                    model.taken.extend(next.map(|next| take_event(&model.handle, with_id(id(next), next))));
                }
                2 if !models[one].taken.is_empty() => {
                    let model = &mut models[one];
                    let event = model.taken.swap_remove(random.usize(0..model.taken.len()));
                    assert!(model.handle.acknowledge(&event));
                    assert!(!model.handle.acknowledge(&event));
                    acknowledged.insert(event.position());
                }
                _ => known = safe(&tracker, id(position)).unwrap_or(known),
            }
        }
        known = safe(&tracker, id(position)).unwrap_or(known);
        let taken = models.iter().flat_map(|model| model.taken.iter().map(Event::position));
        let open = taken.chain(models.iter().flat_map(|model| model.queued.iter().copied())).min();
        let before = |open: u64| (1..open).take_while(|&before| id(before) < id(open)).last().unwrap_or(0);
        let newest = |open| acknowledged.range(..=before(open)).next_back().copied().unwrap_or(0);
        let expected = id(open.map_or(position, newest));
        assert!(known >= expected && open.is_none_or(|open| known < id(open)), "{seed}: {known}, not {expected}");
    }
}

#[test]
fn unacknowledged_events_are_bounded_and_hold_the_stream() {
    let tracker = tracker();
    let handle = tracker.open(8, false, &Arc::default());
    for position in 1..=MAX_UNACKNOWLEDGED as u64 + 100 {
        tracker.published(&[handle.number], &event(position));
        take(&handle, position);
    }
    for position in 1..=MAX_UNACKNOWLEDGED as u64 {
        assert!(handle.acknowledge(&event(position)));
    }
    assert!(!handle.acknowledge(&event(MAX_UNACKNOWLEDGED as u64 + 1)));
    assert_eq!(safe(&tracker, 99), Some(MAX_UNACKNOWLEDGED as u64));
    assert!(tracker.lock().acknowledged.is_empty());
}

#[test]
fn a_subscription_that_is_never_read_makes_no_ids_pile_up() {
    let tracker = tracker();
    let (read, unread) = (tracker.open(8, false, &Arc::default()), tracker.open(8, false, &Arc::default()));
    for position in 1..=100_000 {
        tracker.published(&[read.number, unread.number], &event(position));
        assert!(read.acknowledge(&take(&read, position)));
    }
    assert!(tracker.lock().acknowledged.len() <= 2 * MIN_PRUNED);
    assert_eq!(safe(&tracker, 0), None);
}

#[test]
fn an_event_taken_just_before_its_drop_does_not_hold_the_stream() {
    let tracker = tracker();
    let handle = tracker.open(4, false, &Arc::default());
    // The fifth is noted, and not yet in the queue: the first still is.
    for position in 1..=5 {
        tracker.published(&[handle.number], &event(position));
    }
    for position in 1..=5 {
        assert!(handle.acknowledge(&take(&handle, position)));
    }
    assert_eq!(safe(&tracker, 5), Some(5));
}

#[test]
fn an_event_in_a_conflating_queue_holds_newer_ones_taken_before_it() {
    let tracker = tracker();
    let handle = tracker.open(8, true, &Arc::default());
    for position in 1..=5 {
        tracker.published(&[handle.number], &event(position));
    }
    // 4 and 5 are where 1 and 2 were: before 3.
    tracker.removed(handle.number, &[1, 2], &[]);
    let [four, five] = [4, 5].map(|position| take(&handle, position));
    assert!(handle.acknowledge(&four));
    assert_eq!(safe(&tracker, 5), None);
    assert!(handle.acknowledge(&take(&handle, 3)));
    assert_eq!(safe(&tracker, 5), Some(4));
    assert!(handle.acknowledge(&five));
    assert_eq!(safe(&tracker, 5), Some(5));
}

#[test]
fn the_oldest_event_taken_beyond_the_limit_holds_the_stream() {
    let tracker = tracker();
    let (handle, other) = (tracker.open(8, true, &Arc::default()), tracker.open(8, false, &Arc::default()));
    let most = MAX_UNACKNOWLEDGED as u64;
    for position in 1..=most {
        tracker.published(&[handle.number], &event(position));
        take(&handle, position);
    }
    tracker.published(&[handle.number, other.number], &event(most + 1));
    tracker.published(&[handle.number], &event(most + 2));
    // It is where something older was.
    take(&handle, most + 2);
    take(&handle, most + 1);
    (1..=most).for_each(|position| assert!(handle.acknowledge(&event(position))));
    assert!(other.acknowledge(&take(&other, most + 1)));
    assert_eq!(safe(&tracker, most + 2), Some(most));
}

#[test]
fn a_dropped_event_holds_the_stream_until_the_program_goes_back() {
    let tracker = tracker();
    let handle = tracker.open(4, false, &Arc::default());
    for position in 1..=10 {
        tracker.published(&[handle.number], &event(position));
    }
    assert!(handle.acknowledge(&take(&handle, 7)));
    assert_eq!(safe(&tracker, 10), None);
    tracker.restart(10, "0");
    assert_eq!(safe(&tracker, 0), Some(0));
    tracker.published(&[handle.number], &event(11));
    assert!(!handle.acknowledge(&take(&handle, 8)), "from before");
    assert!(handle.acknowledge(&take(&handle, 11)));
    assert_eq!(safe(&tracker, 11), Some(11));
}
