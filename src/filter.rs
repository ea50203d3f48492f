//! [`Filter`]: which events a subscriber gets.

use std::sync::Arc;

use crate::event::DEFAULT_EVENT_TYPE;

/// Which events a subscription gets: all, or those of a set of types.
///
/// Made from `"update"`, a `String`, arrays, slices or a `Vec` of either, or [`Filter::all`]. A set
/// is sorted and deduplicated; `""` is `"message"`, the type of events that name none. An empty set
/// matches nothing. Types are compared exactly: nothing is a wildcard.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Filter {
    types: Types,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Types {
    All,
    Set(Arc<[Box<str>]>),
}

impl Filter {
    /// Every event.
    pub fn all() -> Self {
        Self { types: Types::All }
    }

    /// Whether events of this type pass.
    pub fn matches(&self, event_type: &str) -> bool {
        match &self.types {
            Types::All => true,
            Types::Set(types) => match &**types {
                [only] => **only == *event_type,
                types => types.binary_search_by(|one| (**one).cmp(event_type)).is_ok(),
            },
        }
    }

    fn set<T: AsRef<str>>(types: &[T]) -> Self {
        let named = |event_type: &T| match event_type.as_ref() {
            "" => DEFAULT_EVENT_TYPE.into(),
            name => name.into(),
        };
        let mut types: Vec<Box<str>> = types.iter().map(named).collect();
        types.sort_unstable();
        types.dedup();
        Self { types: Types::Set(types.into()) }
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
    use super::Filter;

    #[test]
    fn a_set_is_sorted_and_deduplicated_and_the_empty_type_is_message() {
        assert_eq!(Filter::from(["b", "a", "b"]), Filter::from(vec!["a", "b"]));
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
}
