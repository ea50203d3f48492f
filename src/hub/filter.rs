//! [`Filter`]: which events a subscriber gets.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::event::{DEFAULT_EVENT_TYPE, Event};

/// The choice of events that a subscription gets: all, those of a set of types, or those whose type
/// has a prefix; of these, if wanted, only those that pass a predicate.
///
/// An empty set matches nothing. Types are compared exactly, byte by byte: nothing is a wildcard.
///
/// A filter is made from `"update"`, a `String`, arrays, slices or a `Vec` of these, references to
/// any of them, [`Filter::all`], [`Filter::prefix`], or [`Filter::matching`]. A set is sorted and
/// deduplicated; `""` stands for `"message"`, the type of events that name none.
///
/// Subscriptions with equal filters share the memory of a queue. A predicate is equal only to
/// itself, and each subscription that has one has a queue of its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[must_use = "a filter does nothing by itself"]
pub struct Filter {
    types: Types,
    predicate: Option<Predicate>,
}

/// The types that a filter matches.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Types {
    All,
    Set(Names),
    /// None of them is a prefix of another.
    Prefixes(Names),
}

impl Types {
    fn contain(&self, event_type: &str) -> bool {
        match self {
            Self::All => true,
            Self::Set(types) => match &**types {
                // Most filters name one type, and a comparison costs less than a search.
                [only] => **only == *event_type,
                types => types.binary_search_by(|one| (**one).cmp(event_type)).is_ok(),
            },
            Self::Prefixes(prefixes) => {
                // Of the prefixes that are not greater only the last can match: none is a prefix of
                // another.
                let before = prefixes.partition_point(|prefix| **prefix <= *event_type);
                before > 0 && event_type.starts_with(&*prefixes[before - 1])
            }
        }
    }
}

/// Type names, sorted and without duplicates.
type Names = Arc<[Box<str>]>;

impl Filter {
    /// Matches every event.
    pub fn all() -> Self {
        Types::All.into()
    }

    /// Matches events whose type has this prefix: `prefix("order.")` matches `order.placed`,
    /// `order.shipped`, and `order.` itself. The empty prefix matches every type. The type of
    /// events that name none is `message`.
    ///
    /// # Examples
    ///
    /// ```
    /// let orders = sseclient::Filter::prefix("order.");
    /// assert!(orders.matches("order.placed"));
    /// assert!(!orders.matches("reorder.placed"));
    /// ```
    pub fn prefix(prefix: impl AsRef<str>) -> Self {
        Self::prefixes([prefix])
    }

    /// Matches events whose type has one of these prefixes. Without any it matches nothing.
    pub fn prefixes<T: AsRef<str>>(prefixes: impl IntoIterator<Item = T>) -> Self {
        let mut shortest: Vec<Box<str>> = Vec::new();
        for prefix in sorted(prefixes.into_iter().map(|prefix| prefix.as_ref().into())) {
            // A type with this prefix follows right behind it, and adds nothing.
            if shortest.last().is_none_or(|before| !prefix.starts_with(&**before)) {
                shortest.push(prefix);
            }
        }
        match &shortest[..] {
            // Equal to `all()`, so that both share a channel.
            [only] if only.is_empty() => Self::all(),
            _ => Types::Prefixes(shortest.into()).into(),
        }
    }

    /// Matches events for which `predicate` returns true: see [`and`](Self::and).
    pub fn matching(predicate: impl Fn(&Event) -> bool + Send + Sync + 'static) -> Self {
        Self::all().and(predicate)
    }

    /// Narrows the filter to events for which `predicate` returns true.
    ///
    /// The connection task evaluates it once for each event that passes the rest of the filter, in
    /// wire order. Until it returns nothing else is read, so it must be quick and must not
    /// block. For [retained](crate::StreamBuilder::retain) events it runs in the call that
    /// subscribes; the task may evaluate it for newer events at the same time. It may use the
    /// stream's handle, but a predicate that owns a handle keeps the stream alive.
    ///
    /// An event that it rejects takes no room in the queue, wakes no task, and is not
    /// [missed](crate::Subscription::missed). It is not evaluated for a [`Gap`](crate::Gap), nor
    /// for an event over the size limit, which is never whole: a subscription gets those as if
    /// it had no predicate.
    ///
    /// # Panics
    ///
    /// A predicate that panics ends its own subscription, which yields what was queued before, and
    /// then `None`. [`close_reason`](crate::Subscription::close_reason) is then a failure with
    /// [`ErrorKind::FilterPanicked`](crate::ErrorKind::FilterPanicked). Other subscriptions and the
    /// stream go on. If the subscription is
    /// [acknowledging](crate::SubscribeOptions::acknowledging), the event at which it panicked
    /// holds the resume store, like one that was taken and never acknowledged.
    ///
    /// # Examples
    ///
    /// ```
    /// use sseclient::Filter;
    ///
    /// let large = Filter::prefix("order.").and(|event| event.data().len() > 1000);
    /// ```
    pub fn and(self, predicate: impl Fn(&Event) -> bool + Send + Sync + 'static) -> Self {
        // One closure for both, so that a filter has one predicate to compare and to call.
        let predicate = match self.predicate {
            None => Predicate(Arc::new(predicate)),
            Some(first) => Predicate(Arc::new(move |event| first.holds(event) && predicate(event))),
        };
        Self { predicate: Some(predicate), ..self }
    }

    /// Returns true if the filter matches this type. Does not evaluate the predicate.
    #[inline]
    pub fn matches(&self, event_type: &str) -> bool {
        matches!(self.types, Types::All) || self.types.contain(event_type)
    }

    /// Returns true if this event passes, by its type and by the predicate, if there is one.
    pub fn passes(&self, event: &Event) -> bool {
        self.matches(event.event_type()) && self.predicate.as_ref().is_none_or(|predicate| predicate.holds(event))
    }

    /// Returns the types that it names, if it matches no others.
    pub(crate) fn names(&self) -> Option<&[Box<str>]> {
        match &self.types {
            Types::Set(types) => Some(types),
            Types::All | Types::Prefixes(_) => None,
        }
    }

    /// Returns the predicate, if there is one.
    pub(crate) fn predicate(&self) -> Option<&Predicate> {
        self.predicate.as_ref()
    }

    /// Returns a filter of the same types, without the predicate.
    pub(crate) fn without_predicate(&self) -> Self {
        self.types.clone().into()
    }

    /// Makes a filter of a set of types.
    fn set<T: AsRef<str>>(types: &[T]) -> Self {
        let named = |event_type: &T| match event_type.as_ref() {
            "" => DEFAULT_EVENT_TYPE.into(),
            name => name.into(),
        };
        Types::Set(sorted(types.iter().map(named)).into()).into()
    }
}

/// Sorts and deduplicates.
fn sorted(names: impl Iterator<Item = Box<str>>) -> Vec<Box<str>> {
    let mut names: Vec<Box<str>> = names.collect();
    // Filters that name the same types in another order are equal and share a channel; and
    // `matches` can search.
    names.sort_unstable();
    names.dedup();
    names
}

/// A caller's predicate, equal only to its clones. User code: call and drop it without any lock.
#[derive(Clone)]
pub(crate) struct Predicate(Arc<dyn Fn(&Event) -> bool + Send + Sync>);

impl Predicate {
    /// Evaluates the predicate, which may panic.
    pub(crate) fn holds(&self, event: &Event) -> bool {
        (self.0)(event)
    }
}

impl PartialEq for Predicate {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Predicate {}

impl Hash for Predicate {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).cast::<()>().hash(state);
    }
}

impl fmt::Debug for Predicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Predicate")
    }
}

impl From<Types> for Filter {
    fn from(types: Types) -> Self {
        Self { types, predicate: None }
    }
}

impl From<&str> for Filter {
    fn from(event_type: &str) -> Self {
        Self::set(&[event_type])
    }
}

impl From<String> for Filter {
    fn from(event_type: String) -> Self {
        Self::set(&[event_type])
    }
}

// A call does not dereference an argument to find a trait: without these, `subscribe(&name)` would
// not compile.
impl From<&String> for Filter {
    fn from(event_type: &String) -> Self {
        Self::set(&[event_type])
    }
}

impl<T: AsRef<str>> From<&Vec<T>> for Filter {
    fn from(types: &Vec<T>) -> Self {
        Self::set(types)
    }
}

impl<T: AsRef<str>> From<&[T]> for Filter {
    fn from(types: &[T]) -> Self {
        Self::set(types)
    }
}

impl<T: AsRef<str>, const N: usize> From<[T; N]> for Filter {
    fn from(types: [T; N]) -> Self {
        Self::set(&types)
    }
}

impl<T: AsRef<str>, const N: usize> From<&[T; N]> for Filter {
    fn from(types: &[T; N]) -> Self {
        Self::set(types)
    }
}

impl<T: AsRef<str>> From<Vec<T>> for Filter {
    fn from(types: Vec<T>) -> Self {
        Self::set(&types)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_sorted_and_deduplicated_and_the_empty_type_is_message() {
        assert_eq!(Filter::from(["b", "a", "b"]), Filter::from(vec!["a", "b"]));
        assert_eq!(Filter::from(&"a".to_owned()), Filter::from(&vec!["a"]));
        assert_eq!(Filter::from(""), Filter::from("message"));
        assert!(Filter::from("").matches("message"));
    }

    #[test]
    fn nothing_is_a_wildcard_and_an_empty_set_matches_nothing() {
        assert!(!Filter::from("*").matches("update"));
        assert!(!Filter::from([""; 0]).matches("message"));
        assert!(Filter::all().matches("anything"));
        assert!(!Filter::from("update").matches("Update"));
    }

    #[test]
    fn a_prefix_is_left_out_if_a_shorter_one_covers_it() {
        assert_eq!(Filter::prefixes(["b.", "a", "a.b", "ab"]), Filter::prefixes(["a", "b."]));
        assert_eq!(Filter::prefixes(["x", ""]), Filter::all());
        assert_ne!(Filter::prefix("a"), Filter::from("a"));
        let filter = Filter::prefixes(["order.", "ord-", "é"]);
        for (event_type, passes) in [
            ("order.", true),
            ("order.x", true),
            ("order", false),
            ("ord-1", true),
            ("ore", false),
            ("ée", true),
            ("e", false),
        ] {
            assert_eq!(filter.matches(event_type), passes, "{event_type}");
        }
        assert!(!Filter::prefixes([""; 0]).matches(""));
    }

    #[test]
    fn a_predicate_narrows_a_filter_and_equals_nothing_but_itself() {
        let event = |data: &str| Event::builder().event_type("order.x").data(data).build().unwrap();
        let filter = Filter::prefix("order.").and(|event| event.data() != "a").and(|event| event.data() != "b");
        assert_eq!(["a", "b", "c"].map(|data| filter.passes(&event(data))), [false, false, true]);
        assert!(!Filter::from("order").and(|_| true).passes(&event("c")));
        assert!(filter.matches("order.x"), "by its type");
        assert_eq!(filter.clone(), filter);
        assert_ne!(Filter::matching(|_| true), Filter::matching(|_| true));
        assert_ne!(Filter::matching(|_| true), Filter::all());
    }
}
