//! [`Features`]: the toggles of one revision, and the [`Delta`]s that lead to the next.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A toggle: its name, and the fields that an evaluation reads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Feature {
    pub name: String,
    #[serde(flatten)]
    pub fields: Map<String, Value>,
}

/// A segment: its number, and the fields that an evaluation reads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Segment {
    pub id: i64,
    #[serde(flatten)]
    pub fields: Map<String, Value>,
}

/// How a server counts its revisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numbering {
    /// Upwards. Unleash does so: a revision may have several changes, and numbers are left out.
    Increasing,
    /// One by one: a number that is left out is a loss.
    Consecutive,
}

/// All toggles and segments as of one revision. A clone copies no toggle.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Features {
    revision: Option<u64>,
    features: BTreeMap<String, Arc<Feature>>,
    segments: BTreeMap<i64, Arc<Segment>>,
}

/// The data of both types of events.
#[derive(Debug, Deserialize)]
pub(crate) struct Delta {
    events: Vec<Change>,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", rename_all_fields = "camelCase")]
enum Change {
    Hydration { event_id: u64, features: Vec<Arc<Feature>>, segments: Vec<Arc<Segment>> },
    FeatureUpdated { event_id: u64, feature: Arc<Feature> },
    FeatureRemoved { event_id: u64, feature_name: String },
    SegmentUpdated { event_id: u64, segment: Arc<Segment> },
    SegmentRemoved { event_id: u64, segment_id: i64 },
}

impl Features {
    /// Returns the revision; `None` before the first hydration.
    pub fn revision(&self) -> Option<u64> {
        self.revision
    }

    pub fn feature(&self, name: &str) -> Option<Arc<Feature>> {
        self.features.get(name).cloned()
    }

    pub fn segment(&self, id: i64) -> Option<Arc<Segment>> {
        self.segments.get(&id).cloned()
    }

    /// Returns all toggles, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Feature>> {
        self.features.values()
    }

    /// Applies a delta that was [checked](Delta::check).
    pub(crate) fn apply(&mut self, delta: &Delta) {
        for change in &delta.events {
            let is_hydration = matches!(change, Change::Hydration { .. });
            // Changes of the present revision may be new: a revision can have several.
            if is_hydration || Some(change.event_id()) >= self.revision {
                self.make(change);
                self.revision = Some(change.event_id());
            }
        }
    }

    fn make(&mut self, change: &Change) {
        match change {
            Change::Hydration { features, segments, .. } => {
                self.features = features.iter().map(|feature| (feature.name.clone(), Arc::clone(feature))).collect();
                self.segments = segments.iter().map(|segment| (segment.id, Arc::clone(segment))).collect();
            }
            Change::FeatureUpdated { feature, .. } => {
                self.features.insert(feature.name.clone(), Arc::clone(feature));
            }
            Change::FeatureRemoved { feature_name, .. } => {
                self.features.remove(feature_name);
            }
            Change::SegmentUpdated { segment, .. } => {
                self.segments.insert(segment.id, Arc::clone(segment));
            }
            Change::SegmentRemoved { segment_id, .. } => {
                self.segments.remove(segment_id);
            }
        }
    }
}

impl Delta {
    /// Checks that nothing is missing between this revision and the delta, nor within it, nor before
    /// it. Says what is.
    pub(crate) fn check(&self, mut revision: Option<u64>, numbering: Numbering) -> Result<(), String> {
        for change in &self.events {
            let next = change.event_id();
            revision = match (change, revision) {
                (Change::Hydration { .. }, _) => Some(next),
                (_, None) => return Err(format!("revision {next} came before a hydration")),
                (_, Some(last)) if numbering == Numbering::Consecutive && next.saturating_sub(last) > 1 => {
                    return Err(format!("revision {next} came after {last}"));
                }
                (_, Some(last)) => Some(last.max(next)),
            };
        }
        // Without any change it is no hydration either.
        revision.map(drop).ok_or_else(|| "an empty delta came before a hydration".to_owned())
    }
}

impl Change {
    fn event_id(&self) -> u64 {
        match self {
            Self::Hydration { event_id, .. }
            | Self::FeatureUpdated { event_id, .. }
            | Self::FeatureRemoved { event_id, .. }
            | Self::SegmentUpdated { event_id, .. }
            | Self::SegmentRemoved { event_id, .. } => *event_id,
        }
    }
}
