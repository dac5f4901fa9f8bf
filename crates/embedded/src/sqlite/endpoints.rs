//! Which model endpoints people keep. Each call is inside the transaction or snapshot of its caller.

use async_trait::async_trait;
use engine::port::{LedgerError, OwnEndpoint, OwnEndpoints};
use model::{EndpointName, SecretId, UserId};
use rusqlite::{Connection, OptionalExtension, params};

use super::SqliteLedger;
use super::failure::Failure;
use super::row::Id;

#[async_trait]
impl OwnEndpoints for SqliteLedger {
    async fn put_endpoint(
        &self,
        owner: UserId,
        endpoint: OwnEndpoint,
        before: Option<OwnEndpoint>,
    ) -> Result<bool, LedgerError> {
        self.change(move |c| put(c, owner, &endpoint, before.as_ref())).await
    }

    async fn endpoint(
        &self,
        owner: UserId,
        name: &EndpointName,
    ) -> Result<Option<OwnEndpoint>, LedgerError> {
        let name = name.clone();
        self.readers.read(move |c| one(c, owner, &name)).await
    }

    async fn endpoints(&self, owner: UserId) -> Result<Vec<OwnEndpoint>, LedgerError> {
        self.readers.read(move |c| all(c, owner)).await
    }

    async fn remove_endpoint(
        &self,
        owner: UserId,
        name: &EndpointName,
    ) -> Result<Option<OwnEndpoint>, LedgerError> {
        let name = name.clone();
        self.change(move |c| remove(c, owner, &name)).await
    }

    async fn secrets(&self) -> Result<Vec<SecretId>, LedgerError> {
        self.readers.read(secrets).await
    }
}

fn put(
    c: &Connection,
    owner: UserId,
    endpoint: &OwnEndpoint,
    before: Option<&OwnEndpoint>,
) -> Result<bool, Failure> {
    if one(c, owner, &endpoint.name)?.as_ref() != before {
        return Ok(false);
    }
    let sql =
        "INSERT OR REPLACE INTO endpoints (owner, name, body, secret) VALUES (?1, ?2, ?3, ?4)";
    c.prepare_cached(sql)?.execute(params![
        Id(owner.uuid()),
        endpoint.name.as_str(),
        serde_json::to_string(endpoint)?,
        endpoint.secret.map(|secret| Id(secret.uuid())),
    ])?;
    Ok(true)
}

fn one(c: &Connection, owner: UserId, name: &EndpointName) -> Result<Option<OwnEndpoint>, Failure> {
    let sql = "SELECT body FROM endpoints WHERE owner = ?1 AND name = ?2";
    let row = params![Id(owner.uuid()), name.as_str()];
    let body = c.prepare_cached(sql)?.query_row(row, |row| row.get::<_, String>(0)).optional()?;
    Ok(body.map(|body| serde_json::from_str(&body)).transpose()?)
}

fn all(c: &Connection, owner: UserId) -> Result<Vec<OwnEndpoint>, Failure> {
    let mut statement =
        c.prepare_cached("SELECT body FROM endpoints WHERE owner = ?1 ORDER BY name")?;
    let mut rows = statement.query([Id(owner.uuid())])?;
    let mut endpoints = Vec::new();
    while let Some(row) = rows.next()? {
        endpoints.push(serde_json::from_str(&row.get::<_, String>(0)?)?);
    }
    Ok(endpoints)
}

fn remove(
    c: &Connection,
    owner: UserId,
    name: &EndpointName,
) -> Result<Option<OwnEndpoint>, Failure> {
    let found = one(c, owner, name)?;
    let sql = "DELETE FROM endpoints WHERE owner = ?1 AND name = ?2";
    c.prepare_cached(sql)?.execute(params![Id(owner.uuid()), name.as_str()])?;
    Ok(found)
}

fn secrets(c: &Connection) -> Result<Vec<SecretId>, Failure> {
    let mut statement =
        c.prepare_cached("SELECT secret FROM endpoints WHERE secret IS NOT NULL")?;
    let ids = statement.query_map([], |row| Ok(SecretId::from_uuid(row.get::<_, Id>(0)?.0)))?;
    Ok(ids.collect::<Result<_, _>>()?)
}
