//! [`DirtySet`]: which of many channels have something new, or are full.

/// Up to this many channels it is cheaper to visit each one than to remember which are dirty.
const MAX_VISITED: usize = 16;

/// The indexes of channels that have changed since the last [`clear`](Self::clear).
///
/// With a thousand channels, a turn that publishes to one of them visits that one only.
#[derive(Debug, Default)]
pub(super) struct DirtySet {
    indexes: Vec<usize>,
    is_marked: Vec<bool>,
    /// Indexes have shifted since then, so every channel counts as dirty.
    all: bool,
}

impl DirtySet {
    /// Marks the channel at `index`.
    pub(super) fn mark(&mut self, index: usize) {
        if self.is_marked.len() <= index {
            self.is_marked.resize(index + 1, false);
        }
        if !std::mem::replace(&mut self.is_marked[index], true) {
            self.indexes.push(index);
        }
    }

    /// Marks every channel: indexes have shifted, or it is not known which channels are dirty.
    pub(super) fn mark_all(&mut self) {
        self.all = true;
    }

    /// Calls `look` with each dirty channel, and perhaps with others. Clears nothing.
    pub(super) fn visit<C>(&self, channels: &mut [C], mut look: impl FnMut(usize, &mut C)) {
        if self.all || channels.len() <= MAX_VISITED {
            channels.iter_mut().enumerate().for_each(|(index, channel)| look(index, channel));
            return;
        }
        for &index in &self.indexes {
            if let Some(channel) = channels.get_mut(index) {
                look(index, channel);
            }
        }
    }

    /// Unmarks all channels.
    pub(super) fn clear(&mut self) {
        self.all = false;
        // Not the whole vector: with a thousand channels a turn that marked one of them clears one.
        self.indexes.drain(..).for_each(|index| self.is_marked[index] = false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dirty_channels_are_visited_once_and_all_of_them_after_a_shift() {
        let mut channels = vec![0; 40];
        let mut dirty = DirtySet::default();
        [7, 3, 7, 39].into_iter().for_each(|index| dirty.mark(index));
        dirty.visit(&mut channels, |_, visits| *visits += 1);
        dirty.visit(&mut channels, |_, visits| *visits += 1);
        dirty.clear();
        assert_eq!((channels[3], channels[7], channels[39], channels.iter().sum::<i32>()), (2, 2, 2, 6));
        dirty.mark(39);
        dirty.mark_all();
        channels.truncate(20);
        dirty.visit(&mut channels, |_, visits| *visits += 1);
        dirty.clear();
        assert!(channels.iter().all(|visits| *visits > 0));
        dirty.visit(&mut channels, |_, _| panic!("nothing is new"));
    }
}
