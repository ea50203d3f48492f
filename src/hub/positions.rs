//! [`ReaderPositions`]: how many readers of a ring stand at each position.

/// The positions of a ring's readers, the lowest first.
///
/// The ring may move out the items before the lowest. While a turn is read, readers stand at one or
/// two positions, however many they are, so the list is short, and moving a reader costs little.
#[derive(Debug, Default)]
pub(super) struct ReaderPositions {
    groups: Vec<Group>,
}

/// The readers at one position: at least one.
#[derive(Debug, PartialEq, Eq)]
struct Group {
    position: u64,
    readers: usize,
}

impl ReaderPositions {
    /// The position of the slowest reader.
    pub(super) fn lowest(&self) -> Option<u64> {
        self.groups.first().map(|group| group.position)
    }

    /// Adds a reader.
    pub(super) fn join(&mut self, position: u64) {
        // From the back: most readers stand at the end of the ring.
        let after = self.groups.iter().rposition(|group| group.position <= position).map_or(0, |index| index + 1);
        match after.checked_sub(1).and_then(|index| self.groups.get_mut(index)) {
            Some(group) if group.position == position => group.readers += 1,
            _ => {
                // Most often the only one stays alone.
                self.groups.reserve_exact(1);
                self.groups.insert(after, Group { position, readers: 1 });
            }
        }
    }

    /// Removes a reader.
    pub(super) fn leave(&mut self, position: u64) {
        let Ok(index) = self.groups.binary_search_by_key(&position, |group| group.position) else {
            debug_assert!(false, "no reader stands at {position}");
            return;
        };
        self.groups[index].readers -= 1;
        if self.groups[index].readers == 0 {
            self.groups.remove(index);
        }
    }

    /// Moves a reader.
    pub(super) fn advance(&mut self, from: u64, to: u64) {
        match &mut self.groups[..] {
            // A sole reader has one group, which need not be found.
            [Group { position, readers: 1 }] => {
                debug_assert_eq!(*position, from, "the only reader stands elsewhere");
                *position = to;
            }
            // The usual case with many readers: the first has moved on, and the others follow it.
            [behind, ahead] if behind.position == from && ahead.position == to && behind.readers > 1 => {
                behind.readers -= 1;
                ahead.readers += 1;
            }
            _ => {
                self.leave(from);
                self.join(to);
            }
        }
    }

    /// Moves all readers that stand before `first` to it: the items before it have been dropped.
    pub(super) fn raise(&mut self, first: u64) {
        let before = self.groups.iter().take_while(|group| group.position < first).count();
        let readers: usize = self.groups.drain(..before).map(|group| group.readers).sum();
        match self.groups.first_mut() {
            _ if readers == 0 => {}
            Some(group) if group.position == first => group.readers += readers,
            _ => self.groups.insert(0, Group { position: first, readers }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_position_is_that_of_the_slowest_reader() {
        // Beside a plain list of positions, through every kind of step.
        let mut random = fastrand::Rng::with_seed(7);
        let (mut positions, mut list, mut first) = (ReaderPositions::default(), Vec::new(), 0);
        for end in 0..2_000 {
            match random.u8(..5) {
                0 if list.len() < 20 => {
                    positions.join(end);
                    list.push(end);
                }
                1 if !list.is_empty() => positions.leave(list.swap_remove(random.usize(..list.len()))),
                2 => {
                    first = random.u64(first..=end);
                    positions.raise(first);
                    list.iter_mut().for_each(|position| *position = first.max(*position));
                }
                _ if !list.is_empty() => {
                    let reader = random.usize(..list.len());
                    let to = random.u64(list[reader]..=end);
                    positions.advance(std::mem::replace(&mut list[reader], to), to);
                }
                _ => {}
            }
            assert_eq!(positions.lowest(), list.iter().min().copied(), "at {end}");
            let readers: usize = positions.groups.iter().map(|group| group.readers).sum();
            assert_eq!(readers, list.len());
        }
    }
}
