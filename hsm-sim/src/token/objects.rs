//! Where objects live and who may see them: the object calls.

use super::object::Object;
use super::template::{check_change, parse};
use super::{SessionObject, Token, create};
use crate::constants::*;
use crate::faults::Fault;
use crate::storage::Storage;
use crate::wire::{Answer, Attribute, Response, UserType};

/// Handles of session objects start here, far above any token object's.
const SESSION_HANDLES: u64 = 1 << 48;
/// How many handles are reserved at once.
const HANDLES_AHEAD: u64 = 256;

impl Token {
    fn sees(&self, connection: u64, object: &Object) -> bool {
        !object.is_private() || self.sessions.login(connection) == Some(UserType::User)
    }

    /// The object of a handle; `missing` when there is none the connection may see.
    pub(super) fn find(
        &self,
        connection: u64,
        session: u64,
        handle: u64,
        missing: u64,
    ) -> Result<&Object, u64> {
        self.sessions.get(connection, session)?;
        let own = self
            .session_objects
            .get(&handle)
            .filter(|it| it.connection == connection);
        let object = own
            .map(|it| &it.object)
            .or(self.state()?.objects.get(&handle));
        object
            .filter(|object| self.sees(connection, object))
            .ok_or(missing)
    }

    pub(super) fn search(&self, connection: u64, session: u64, template: &[Attribute]) -> Response {
        self.sessions.get(connection, session)?;
        let own = self
            .session_objects
            .iter()
            .filter(|(_, it)| it.connection == connection);
        let all = self
            .state()?
            .objects
            .iter()
            .chain(own.map(|(handle, it)| (handle, &it.object)));
        // What few objects have in common is compared first: most differ there already.
        let mut template = template.to_vec();
        template.sort_by_key(|wanted| ![CKA_ID, CKA_LABEL].contains(&wanted.kind));
        let found =
            all.filter(|(_, object)| object.matches(&template) && self.sees(connection, object));
        Ok(Answer::Objects(found.map(|(handle, _)| *handle).collect()))
    }

    /// Whether this session may write such an object.
    fn check_write(&self, connection: u64, session: u64, object: &Object) -> Result<(), u64> {
        let session = self.sessions.get(connection, session)?;
        if !self.sees(connection, object) {
            return Err(CKR_USER_NOT_LOGGED_IN);
        }
        if object.is_token() && !session.read_write {
            return Err(CKR_SESSION_READ_ONLY);
        }
        Ok(())
    }

    /// Adds objects, all or none; token objects are durable on return.
    pub(super) fn add(
        &mut self,
        connection: u64,
        session: u64,
        objects: Vec<Object>,
    ) -> Result<Vec<u64>, u64> {
        for object in &objects {
            self.check_write(connection, session, object)?;
        }
        let durable = objects.iter().filter(|object| object.is_token()).count() as u64;
        let room = self
            .capacity()
            .saturating_sub(self.state()?.objects.len() as u64);
        if self.faults.get(Fault::Full).is_some() || durable > room {
            return Err(CKR_DEVICE_MEMORY);
        }
        self.reserve_handles(durable)?;
        let (mut handles, mut made) = (Vec::new(), Vec::new());
        for object in objects {
            let token = object.is_token();
            let handle = self.place(connection, session, object)?;
            handles.push(handle);
            made.extend(token.then_some(handle));
        }
        if !made.is_empty() {
            self.commit(|storage, state| storage.add(state, &made))?;
            self.committed = true;
        }
        Ok(handles)
    }

    /// Sees to it that the next handles are durably below the header's end.
    fn reserve_handles(&mut self, count: u64) -> Result<(), u64> {
        let needed = self.next_handle + count;
        if needed <= self.state()?.header.handles_end {
            return Ok(());
        }
        self.state_mut()?.header.handles_end = needed + HANDLES_AHEAD;
        self.commit(Storage::save_header)
    }

    fn place(&mut self, connection: u64, session: u64, object: Object) -> Result<u64, u64> {
        if object.is_token() {
            let handle = self.next_handle;
            self.next_handle += 1;
            self.state_mut()?.objects.insert(handle, object);
            return Ok(handle);
        }
        self.last_session_object += 1;
        let handle = SESSION_HANDLES + self.last_session_object;
        self.session_objects.insert(
            handle,
            SessionObject {
                connection,
                session,
                object,
            },
        );
        Ok(handle)
    }

    pub(super) fn destroy(&mut self, connection: u64, session: u64, handle: u64) -> Response {
        let object = self.find(connection, session, handle, CKR_OBJECT_HANDLE_INVALID)?;
        self.check_write(connection, session, object)?;
        if !object.flag(CKA_DESTROYABLE) {
            return Err(CKR_ACTION_PROHIBITED);
        }
        if self.faults.get(Fault::DestroyKeepsKey).is_some()
            || self.session_objects.remove(&handle).is_some()
        {
            return Ok(Answer::Done);
        }
        self.state_mut()?.objects.remove(&handle);
        self.commit(|storage, state| storage.remove(state, handle))?;
        self.committed = true;
        Ok(Answer::Done)
    }

    pub(super) fn change(
        &mut self,
        connection: u64,
        session: u64,
        handle: u64,
        template: &[Attribute],
    ) -> Response {
        let object = self.find(connection, session, handle, CKR_OBJECT_HANDLE_INVALID)?;
        self.check_write(connection, session, object)?;
        parse(template)?;
        for change in template {
            check_change(object, change)?;
        }
        let durable = object.is_token();
        let object = match self.session_objects.get_mut(&handle) {
            Some(it) => &mut it.object,
            None => self
                .state_mut()?
                .objects
                .get_mut(&handle)
                .ok_or(CKR_OBJECT_HANDLE_INVALID)?,
        };
        for change in template {
            object.set(change.kind, change.value.clone());
        }
        create::record_secrecy(object);
        if durable {
            self.commit(|storage, state| storage.update(state, handle))?;
        }
        Ok(Answer::Done)
    }
}
