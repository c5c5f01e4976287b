//! Who comes in or goes out: decided by no policy, and recorded whatever comes of it.

use std::sync::Arc;

use dataos_model::{
    entity::EntityType,
    fault::{Fault, FaultKind},
};

use super::{Call, Gateway, Passed};
use crate::{
    handlers::{provider, session},
    record, respond,
    route::{Entrance, Route},
};

impl Gateway {
    /// Lets somebody in or out, and records it: success before it is answered, refusals behind.
    pub(super) async fn enter(
        self: &Arc<Self>,
        route: &'static Route,
        entrance: Entrance,
        call: &Call,
    ) -> Passed {
        let attempt = match entrance {
            Entrance::Password => session::log_in(self, call).await,
            Entrance::Begin => provider::begin(self, call).await,
            Entrance::Callback => provider::callback(self, call).await,
            Entrance::Leave => provider::leave(self, call).await,
            Entrance::Left => provider::left(self, call),
            Entrance::BackChannel => provider::end(self, call).await,
        };
        let outcome = attempt.answer.as_ref().map(|_| attempt.way).map_err(reason);
        let user = EntityType::USER.id(&attempt.user);
        let mut entry = record::log_in(&call.request_id, &user, outcome, &call.head, &call.peer);
        attempt.action.clone_into(&mut entry.action);
        for (name, value) in attempt.facts {
            entry.facts.insert(name.to_owned(), value);
        }
        // Nobody came in yet, or who went out did so before.
        let is_passage = matches!(entrance, Entrance::Begin | Entrance::Leave | Entrance::Left);
        match attempt.answer {
            Ok(answer) if is_passage => Passed::new(answer, route.pattern),
            Ok(answer) => match self.seams.record.append_awaited(entry).await {
                Ok(receipt) => Passed {
                    receipt: Some(receipt),
                    ..Passed::new(answer, route.pattern)
                },
                Err(fault) => self.unrecorded(&fault, route, &call.request_id),
            },
            Err(fault) => {
                self.refusals.append_or_count(entry);
                let shown = match attempt.tells_reason {
                    true => fault,
                    false => Fault {
                        reason: String::new(),
                        ..fault
                    },
                };
                let answer = respond::problem(&shown, &call.request_id, None);
                let is_denied = matches!(
                    shown.kind,
                    FaultKind::Unauthenticated | FaultKind::Denied | FaultKind::Invalid
                );
                Passed {
                    is_denied,
                    ..Passed::new(answer, route.pattern)
                }
            }
        }
    }
}

/// What the record says of a refusal.
fn reason(fault: &Fault) -> &str {
    if fault.reason.is_empty() {
        respond::problem_kind(fault.kind).0
    } else {
        &fault.reason
    }
}
