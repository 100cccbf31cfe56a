//! Rows as a user of the application wants them: filtered, in an order, one page of them.

use switchboard_core::{Error, ErrorKind, Op, Result};

use super::Job;
use crate::driver::Rows;
use crate::engine::Engine;
use crate::pool::Taken;
use crate::queries::Meant;
use crate::sql::{Bound, Effect, Filter, OrderBy, Page};
use crate::{Params, op};

/// What a user says about a list: which rows, in which order, which page.
///
/// Columns come from lists of the application and values are parameters, so that no word of a user gets
/// into the text of a statement.
///
/// ```no_run
/// # async fn example(db: &switchboard_database::Database, wish: &str) -> switchboard_core::Result<()> {
/// use switchboard_database::sql::{Filter, OrderBy, Page};
/// use switchboard_database::{Listing, Statements as _};
///
/// let columns = [("name", "u.name"), ("since", "u.created_at")];
/// let listing = Listing::new()
///     .filter(Filter::contains("name", "ada", &columns)?)
///     .order(OrderBy::parse(wish, &columns)?)
///     .page(Page::new(1, 20)?);
/// let (users, total) =
///     db.select_with_total::<(i64, String)>("select id, name from users u", (), &listing).await?;
/// # let _: (Vec<_>, u64) = (users, total);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "a listing does nothing until rows are selected with it"]
pub struct Listing {
    filter: Option<Filter>,
    order: Option<OrderBy>,
    page: Option<Page>,
}

impl Listing {
    /// All rows, in the order of the query.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only the rows that `filter` lets through.
    pub fn filter(mut self, filter: Filter) -> Self {
        self.filter = Some(filter);
        self
    }

    /// In that order.
    pub fn order(mut self, order: OrderBy) -> Self {
        self.order = Some(order);
        self
    }

    /// Only that page.
    pub fn page(mut self, page: Page) -> Self {
        self.page = Some(page);
        self
    }
}

/// A query of which a listing is wanted.
pub(crate) struct Listed<'s> {
    pub(crate) sql: Meant<'s>,
    pub(crate) params: Params,
    pub(crate) listing: &'s Listing,
    pub(crate) with_total: bool,
}

impl Job for Listed<'_> {
    type Answer = (Rows, u64);
    const OP: Op = op::SELECT;

    fn effect(&self, engine: &Engine) -> Result<Effect> {
        Ok(engine.known(self.sql)?.effect())
    }

    fn is_repeatable(&self, engine: &Engine) -> Result<bool> {
        engine.is_repeatable(self.sql)
    }

    fn keeps_transaction(&self, engine: &Engine) -> Result<()> {
        engine.keeps_transaction(self.sql)
    }

    async fn run(&self, engine: &Engine, taken: &mut Taken) -> Result<(Rows, u64)> {
        let Listing { filter, order, page } = self.listing;
        let dialect = engine.dialect();
        let mut ready = engine.ready(self.sql, &self.params)?;
        if let Some(filter) = filter {
            ready.rewrite(|bound| bound.filtered(filter, dialect))?;
        }
        let total = if self.with_total {
            Some(ready.rewritten(|bound: Bound| bound.counted(dialect))?)
        } else {
            None
        };
        if let Some(order) = order {
            ready.rewrite(|bound| bound.ordered(order, dialect))?;
        }
        if let Some(page) = page {
            ready.rewrite(|bound| bound.paged(*page, dialect))?;
        }
        let rows = engine.query(taken, &ready).await?;
        let total = match total {
            Some(total) => counted(engine.query(taken, &total).await?)?,
            None => 0,
        };
        Ok((rows, total))
    }
}

fn counted(rows: Rows) -> Result<u64> {
    let counts = rows.read::<u64>()?;
    let nothing =
        || Error::new(ErrorKind::Corrupt, "the server did not say how many rows there are");
    counts.first().copied().ok_or_else(nothing)
}
