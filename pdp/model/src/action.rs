//! Everything that can be asked of the PDP: our own actions as a closed list, and those that schemas
//! beside ours declare.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use crate::{entity::EntityType, own_action::OwnAction};

macro_rules! actions {
    ($($(#[$doc:meta])* $variant:ident = $name:literal on [$($resource:ident),+] in [$($group:literal),*];)*) => {
        /// An action. `policies/schema.cedarschema` declares the same list; a test compares them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Action {
            $($(#[$doc])* $variant,)*
            /// Declared by a schema beside ours.
            Own(OwnAction),
        }

        impl Action {
            /// All our own actions, in order of declaration.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name as policies write it, and of an own one with its namespace: `Shop::read`.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                    Self::Own(own) => own.name(),
                }
            }

            /// A number that no other action has while the process runs; below 2^17.
            pub fn number(self) -> u32 {
                /// Numbers in order of declaration.
                #[repr(u32)]
                enum Number {
                    $($variant,)*
                    FirstOwn,
                }
                match self {
                    $(Self::$variant => Number::$variant as u32,)*
                    Self::Own(own) => Number::FirstOwn as u32 + own.number(),
                }
            }

            /// The action groups that this action is directly in; those of own ones are the schema's.
            pub fn groups(self) -> &'static [&'static str] {
                match self {
                    $(Self::$variant => &[$($group),*],)*
                    Self::Own(_) => &[],
                }
            }

            /// The resource types that it applies to; those of own ones are the schema's
            /// ([`Vocabulary`](crate::vocabulary::Vocabulary)).
            pub fn resource_types(self) -> &'static [EntityType] {
                match self {
                    $(Self::$variant => &[$(EntityType::$resource),+],)*
                    Self::Own(_) => &[],
                }
            }
        }
    };
}

actions! {
    /// May the dataset be read at all.
    Select = "select" on [DATASET] in ["read_data"];
    /// Which rows.
    ReadRow = "read_row" on [ROW] in ["read_data"];
    /// Which columns, in which rows.
    ReadCell = "read_cell" on [CELL] in ["read_data"];
    /// Add rows.
    Insert = "insert" on [DATASET] in ["write_data"];
    /// Change rows.
    Update = "update" on [DATASET] in ["write_data"];
    /// Remove rows.
    Delete = "delete" on [DATASET] in ["write_data"];
    /// Make a new dataset.
    CreateDataset = "create_dataset" on [COLLECTION] in ["write_data"];
    /// Make a view whose readers see what is behind it with the rights of who makes it.
    CreateDefinerView = "create_definer_view" on [COLLECTION] in ["admin"];
    /// Use SQL at all.
    Query = "query" on [WORKSPACE] in ["read"];
    /// See an asset in the catalog (names, types, tags; no values).
    ViewAsset = "view_asset" on [DEPOT, COLLECTION, DATASET, COLUMN] in ["read"];
    /// Search the catalog; results are narrowed by `view_asset`.
    SearchCatalog = "search_catalog" on [WORKSPACE] in ["read"];
    /// Set or remove tags.
    TagAsset = "tag_asset" on [DATASET, COLUMN] in ["admin"];
    /// Read a depot's structure into the catalog.
    ScanDepot = "scan_depot" on [DEPOT] in ["admin"];
    /// See resources; results are narrowed by `get_resource`.
    ListResources = "list_resources" on [WORKSPACE] in ["read"];
    /// See one resource.
    GetResource = "get_resource" on [RESOURCE] in ["read"];
    /// Create or change a resource.
    ApplyResource = "apply_resource" on [RESOURCE] in ["write"];
    /// Delete a resource.
    DeleteResource = "delete_resource" on [RESOURCE] in ["write"];
    /// Read the log of a run.
    ViewLog = "view_log" on [RESOURCE] in ["read"];
    /// Reconcile: run a step of a workflow.
    RunStep = "run_step" on [RESOURCE] in ["operate"];
    /// Reconcile: register what a resource stands for (depot, policy, secret).
    CreateChild = "create_child" on [RESOURCE] in ["operate"];
    /// Reconcile: remove it.
    DeleteChild = "delete_child" on [RESOURCE] in ["operate"];
    /// Search and read audit records.
    SearchAudit = "search_audit" on [AUDIT_LOG] in ["audit"];
    /// Read one audit record whole.
    ReadAudit = "read_audit" on [AUDIT_RECORD] in ["audit"];
    /// Fetch proofs for records.
    VerifyAudit = "verify_audit" on [AUDIT_LOG] in ["audit"];
    /// See the policies in force.
    ViewPolicy = "view_policy" on [POLICY_SET] in ["read"];
    /// Change the policies in force.
    ChangePolicy = "change_policy" on [POLICY_SET] in ["admin"];
    /// Ask the PDP about another principal.
    AskDecision = "ask_decision" on [POLICY_SET] in ["read"];
    /// See users, groups and API keys.
    ViewIdentity = "view_identity" on [API_PATH] in ["admin"];
    /// Change users, groups and API keys.
    ManageIdentity = "manage_identity" on [API_PATH] in ["admin"];
    /// See live figures and health in detail.
    ViewHealth = "view_health" on [API_PATH] in ["read"];
    /// Call an endpoint that concerns only the caller (own session, own identity).
    Call = "call" on [API_PATH] in ["read"];
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Action {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Action {
    /// By name, so that another process need not number own actions alike.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        name.parse().map_err(D::Error::custom)
    }
}

/// No such action.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown action `{0}`")]
pub struct UnknownAction(pub String);

impl FromStr for Action {
    type Err = UnknownAction;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .iter()
            .copied()
            .find(|action| action.name() == name)
            .or_else(|| OwnAction::find(name).map(Self::Own))
            .ok_or_else(|| UnknownAction(name.to_owned()))
    }
}
