//! [`DirtySet`]: which channels, among a thousand, have something new, or have run out of room.

/// Up to so many channels it is cheaper to look at each than to remember which.
const FEW: usize = 16;

/// Channels that something has happened to since the last [`forget`](Self::forget), so that not all have to be asked.
#[derive(Debug, Default)]
pub(super) struct DirtySet {
    indexes: Vec<usize>,
    is_touched: Vec<bool>,
    /// Indexes have changed meanwhile: it may be any of them.
    any: bool,
}

impl DirtySet {
    pub(super) fn touch(&mut self, index: usize) {
        if self.is_touched.len() <= index {
            self.is_touched.resize(index + 1, false);
        }
        if !std::mem::replace(&mut self.is_touched[index], true) {
            self.indexes.push(index);
        }
    }

    /// Channels came or went, or it is not known which were touched.
    pub(super) fn touch_any(&mut self) {
        self.any = true;
    }

    /// Looks at each channel that was touched since the last [`forget`](Self::forget), and perhaps at others.
    pub(super) fn visit<C>(&self, channels: &mut [C], mut look: impl FnMut(usize, &mut C)) {
        if self.any || channels.len() <= FEW {
            channels.iter_mut().enumerate().for_each(|(index, channel)| look(index, channel));
        } else {
            for &index in &self.indexes {
                channels.get_mut(index).into_iter().for_each(|channel| look(index, channel));
            }
        }
    }

    /// Whatever had happened has been seen to.
    pub(super) fn forget(&mut self) {
        self.any = false;
        self.indexes.drain(..).for_each(|index| self.is_touched[index] = false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_touched_is_looked_at_once_and_everything_if_indexes_have_changed() {
        let mut channels = vec![0; 40];
        let mut touched = DirtySet::default();
        [7, 3, 7, 39].into_iter().for_each(|index| touched.touch(index));
        touched.visit(&mut channels, |_, looks| *looks += 1);
        touched.visit(&mut channels, |_, looks| *looks += 1);
        touched.forget();
        assert_eq!((channels[3], channels[7], channels[39], channels.iter().sum::<i32>()), (2, 2, 2, 6));
        touched.touch(39);
        touched.touch_any();
        channels.truncate(20);
        touched.visit(&mut channels, |_, looks| *looks += 1);
        touched.forget();
        assert!(channels.iter().all(|looks| *looks > 0));
        touched.visit(&mut channels, |_, _| panic!("nothing is new"));
    }
}
