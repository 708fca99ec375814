use hyper::StatusCode;
use lethe_core::buckets::expiry_receipt;
use lethe_core::ports::StoreError;
use lethe_core::time::Expiry;
use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::call::{Call, Endpoint, Outcome};
use super::openapi::Description;
use super::page::Page;
use super::problem::{Code, Problem};
use super::times::Rfc3339;
use crate::identity::Role;

/// `GET /v1/expiries`: lists the receipts of expired buckets, oldest first.
pub(crate) struct Expiries;

#[derive(Serialize)]
struct ExpiryAnswer {
    expired_at: Rfc3339,
    destroyed_at: Rfc3339,
    receipt: Box<RawValue>,
}

#[derive(Serialize)]
struct ExpiriesAnswer {
    expiries: Vec<ExpiryAnswer>,
    /// Value of `after` for the next page. Absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<u64>,
}

impl Endpoint for Expiries {
    const NAME: &'static str = "list_expiries";
    const ROLES: &'static [Role] = Role::ANY;
    const BODY: bool = false;

    fn describe() -> Description {
        let after = json!({ "type": "integer", "minimum": 0, "maximum": i64::MAX });
        let summary = "Receipts of expired buckets, oldest first";
        Description::new(Self::NAME, "forgetting", summary)
            .pages(after)
            .answers(200, "Expiries")
            .refuses(&[Code::StoreUnavailable])
    }

    async fn run(call: &Call) -> Result<Outcome, Problem> {
        // Seconds since the Unix epoch.
        let page = Page::<u64>::from_query(&call.query)?;
        if page.after > i64::MAX.cast_unsigned() {
            return Err(Problem::invalid("after must be a time"));
        }
        let after = Expiry::from_seconds(page.after);
        let rows = call.service.store.expiries(after, page.limit).await?;
        let full = rows.len() >= page.limit as usize;
        let next = rows.last().filter(|_| full);
        let next = next.map(|row| row.expiry.as_seconds());
        let keys = call.service.node.verifiers();
        let mut expiries = Vec::with_capacity(rows.len());
        for row in &rows {
            let receipt = expiry_receipt(call.service.node.deployment, row);
            let receipt = receipt.filter(|receipt| receipt.verify(&keys).is_ok());
            let Some(receipt) = receipt else {
                let row = format!("expiry {}", row.expiry.as_seconds());
                return Err(StoreError::Altered(row).into());
            };
            let receipt = RawValue::from_string(receipt.to_json()).map_err(Problem::invalid)?;
            expiries.push(ExpiryAnswer {
                expired_at: Rfc3339(row.expiry.instant()),
                destroyed_at: Rfc3339(row.signed.destroyed_at),
                receipt,
            });
        }
        Outcome::json(StatusCode::OK, &ExpiriesAnswer { expiries, next })
    }
}
