//! What is safe to save, as subscribers acknowledge in their own order.

use super::*;

/// An event whose ID is its position.
fn event(position: u64) -> Event {
    with_id(position, position)
}

fn with_id(id: u64, position: u64) -> Event {
    Event::builder().id(id.to_string()).build().unwrap().at(position)
}

fn take(account: &AckHandle, position: u64) -> Event {
    take_event(account, event(position))
}

fn take_event(account: &AckHandle, event: Event) -> Event {
    match account.take(|| Some(Received::Item(event)), || {}) {
        Some(Received::Item(event)) => event,
        other => panic!("{other:?}"),
    }
}

fn safe(ack: &AckTracker, last: u64) -> Option<u64> {
    ack.safe(|| last.to_string().into()).map(|id| id.parse().unwrap())
}

fn ack() -> Arc<AckTracker> {
    Arc::new(AckTracker::new(Arc::default()))
}

/// One subscription: which events it gets (each `every`th), and what has become of them.
struct Model {
    account: AckHandle,
    every: u64,
    queued: VecDeque<u64>,
    taken: Vec<Event>,
}

/// Whatever is published, taken and acknowledged, in whatever order: the ack says what counting
/// from the beginning would. Each third time three events in a row have the same ID.
#[test]
fn the_newest_event_before_anything_that_is_open_is_safe() {
    for seed in 0..200 {
        let mut random = fastrand::Rng::with_seed(seed);
        let ack = ack();
        let id = |position: u64| if seed % 3 == 0 { position.div_ceil(3) } else { position };
        let model =
            |every| Model { account: ack.open(1 << 20, false), every, queued: VecDeque::new(), taken: Vec::new() };
        let mut models = [model(1), model(2), model(7)];
        let (mut position, mut acknowledged, mut known) = (0, BTreeSet::new(), 0);
        for _step in 0..300 {
            let one = random.usize(0..models.len());
            match random.u8(0..4) {
                0 => {
                    position += 1;
                    for model in models.iter_mut().filter(|model| position % model.every == 0) {
                        ack.published([model.account.number()].into_iter(), &with_id(id(position), position));
                        model.queued.push_back(position);
                    }
                }
                1 => {
                    let model = &mut models[one];
                    let next = model.queued.pop_front();
                    model.taken.extend(next.map(|next| take_event(&model.account, with_id(id(next), next))));
                }
                2 if !models[one].taken.is_empty() => {
                    let model = &mut models[one];
                    let event = model.taken.swap_remove(random.usize(0..model.taken.len()));
                    assert!(model.account.acknowledge(&event));
                    assert!(!model.account.acknowledge(&event));
                    acknowledged.insert(event.position());
                }
                _ => known = safe(&ack, id(position)).unwrap_or(known),
            }
        }
        known = safe(&ack, id(position)).unwrap_or(known);
        let taken = models.iter().flat_map(|model| model.taken.iter().map(Event::position));
        let open = taken.chain(models.iter().flat_map(|model| model.queued.iter().copied())).min();
        let before = |open: u64| (1..open).take_while(|&before| id(before) < id(open)).last().unwrap_or(0);
        let newest = |open| acknowledged.range(..=before(open)).next_back().copied().unwrap_or(0);
        let expected = id(open.map_or(position, newest));
        assert!(known >= expected && open.is_none_or(|open| known < id(open)), "{seed}: {known}, not {expected}");
    }
}

#[test]
fn what_is_never_acknowledged_is_bounded_and_holds_the_stream() {
    let ack = ack();
    let account = ack.open(8, false);
    for position in 1..=MAX_UNACKNOWLEDGED as u64 + 100 {
        ack.published([account.number()].into_iter(), &event(position));
        take(&account, position);
    }
    for position in 1..=MAX_UNACKNOWLEDGED as u64 {
        assert!(account.acknowledge(&event(position)));
    }
    assert!(!account.acknowledge(&event(MAX_UNACKNOWLEDGED as u64 + 1)));
    assert_eq!(safe(&ack, 99), Some(MAX_UNACKNOWLEDGED as u64));
    assert!(ack.lock().acknowledged.is_empty());
}

#[test]
fn a_subscription_that_is_never_read_does_not_make_those_of_others_pile_up() {
    let ack = ack();
    let (read, unread) = (ack.open(8, false), ack.open(8, false));
    for position in 1..=100_000 {
        ack.published([read.number(), unread.number()].into_iter(), &event(position));
        assert!(read.acknowledge(&take(&read, position)));
    }
    assert!(ack.lock().acknowledged.len() <= 2 * FEW);
    assert_eq!(safe(&ack, 0), None);
}

#[test]
fn what_a_full_queue_was_about_to_drop_when_it_was_taken_does_not_hold_the_stream() {
    let ack = ack();
    let account = ack.open(4, false);
    // The fifth is noted, and not yet in the queue: the first still is.
    for position in 1..=5 {
        ack.published([account.number()].into_iter(), &event(position));
    }
    for position in 1..=5 {
        assert!(account.acknowledge(&take(&account, position)));
    }
    assert_eq!(safe(&ack, 5), Some(5));
}

#[test]
fn what_waits_in_a_queue_that_conflates_holds_the_stream_behind_what_is_newer_and_was_taken_first() {
    let ack = ack();
    let account = ack.open(8, true);
    for position in 1..=5 {
        ack.published([account.number()].into_iter(), &event(position));
    }
    // 4 and 5 are where 1 and 2 were: before 3.
    ack.removed(account.number(), &[1, 2], &[]);
    let [four, five] = [4, 5].map(|position| take(&account, position));
    assert!(account.acknowledge(&four));
    assert_eq!(safe(&ack, 5), None);
    assert!(account.acknowledge(&take(&account, 3)));
    assert_eq!(safe(&ack, 5), Some(4));
    assert!(account.acknowledge(&five));
    assert_eq!(safe(&ack, 5), Some(5));
}

#[test]
fn of_what_was_taken_beyond_what_is_kept_the_oldest_holds_the_stream_in_whatever_order_it_was_taken() {
    let ack = ack();
    let (account, other) = (ack.open(8, true), ack.open(8, false));
    let most = MAX_UNACKNOWLEDGED as u64;
    for position in 1..=most {
        ack.published([account.number()].into_iter(), &event(position));
        take(&account, position);
    }
    ack.published([account.number(), other.number()].into_iter(), &event(most + 1));
    ack.published([account.number()].into_iter(), &event(most + 2));
    // It is where something older was.
    take(&account, most + 2);
    take(&account, most + 1);
    (1..=most).for_each(|position| assert!(account.acknowledge(&event(position))));
    assert!(other.acknowledge(&take(&other, most + 1)));
    assert_eq!(safe(&ack, most + 2), Some(most));
}

#[test]
fn what_a_queue_dropped_holds_the_stream_until_the_program_goes_back() {
    let ack = ack();
    let account = ack.open(4, false);
    for position in 1..=10 {
        ack.published([account.number()].into_iter(), &event(position));
    }
    assert!(account.acknowledge(&take(&account, 7)));
    assert_eq!(safe(&ack, 10), None);
    ack.restart(10, "0");
    assert_eq!(safe(&ack, 0), Some(0));
    ack.published([account.number()].into_iter(), &event(11));
    assert!(!account.acknowledge(&take(&account, 8)), "from before");
    assert!(account.acknowledge(&take(&account, 11)));
    assert_eq!(safe(&ack, 11), Some(11));
}
