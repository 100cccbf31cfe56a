//! Addresses that somebody else may use: asking for them.

use std::future::IntoFuture;
use std::time::Duration;

use futures_util::future::BoxFuture;
use percent_encoding::utf8_percent_encode;
use switchboard_core::{Error, ErrorKind, Held, Result};

use crate::disk::{about, op};
use crate::driver::{Method, Sign, Signed};
use crate::signature::UNRESERVED;
use crate::{Attributes, Disk, Disks};

impl Disk {
    /// An address under which whoever has it can do one thing with the object under `key`, for a time.
    ///
    /// Services that can sign do it themselves. On all others, and wherever the settings `public_url` and
    /// `sign_keys` are set, the address leads to the application, whose `handler` answers it.
    ///
    /// ```
    /// # use switchboard_core::{Environment, Manager, Registry, Settings};
    /// # use switchboard_storage::Disks;
    /// # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    /// # runtime.block_on(async {
    /// # let disks = Manager::<Disks>::new(Registry::with_built_ins()?, &Environment::new())?;
    /// # let key = Settings::new().with("id", "2026").with("secret", "0123456789abcdef0123456789abcdef");
    /// # let settings = Settings::new().with("driver", "memory").with("sign_keys", vec![key]);
    /// # disks.configure("main", &settings.with("public_url", "https://files.example.com"))?;
    /// # let disk = disks.handle("main")?;
    /// use std::time::Duration;
    ///
    /// let minutes = Duration::from_secs(5 * 60);
    /// let link = disk.sign("bills/7.pdf").get(minutes).attachment("Bill 7.pdf").await?;
    /// assert!(link.url.starts_with("https://files.example.com/bills/7.pdf?"));
    ///
    /// let upload = disk.sign("photos/7").put(minutes).content_type("image/png").size_max(5 << 20).await?;
    /// assert_eq!(upload.headers, [("content-type".to_owned(), "image/png".to_owned())]);
    /// # Ok::<(), switchboard_core::Error>(()) }).unwrap();
    /// ```
    pub fn sign<'d>(&'d self, key: &'d str) -> Signing<'d> {
        Signing { disk: self, key }
    }
}

/// An address about to be signed: what may be done under it.
///
/// A time of less than a second, or of more than [`Sign::TTL_MAX`], is
/// [`InvalidInput`](ErrorKind::InvalidInput).
#[must_use = "nothing is signed yet"]
#[derive(Clone, Copy, Debug)]
pub struct Signing<'d> {
    disk: &'d Disk,
    key: &'d str,
}

impl<'d> Signing<'d> {
    /// The object may be read.
    pub fn get(self, ttl: Duration) -> SignGet<'d> {
        SignGet { signing: self, request: Sign::new(Method::Get, self.key.to_owned(), ttl) }
    }

    /// What is known of the object may be read.
    pub async fn head(self, ttl: Duration) -> Result<Signed> {
        self.run(Sign::new(Method::Head, self.key.to_owned(), ttl)).await
    }

    /// An object may be stored, also in the place of one that is there.
    pub fn put(self, ttl: Duration) -> SignPut<'d> {
        SignPut { signing: self, request: Sign::new(Method::Put, self.key.to_owned(), ttl) }
    }

    /// The object may be deleted.
    pub async fn delete(self, ttl: Duration) -> Result<Signed> {
        self.run(Sign::new(Method::Delete, self.key.to_owned(), ttl)).await
    }

    async fn run(self, request: Sign) -> Result<Signed> {
        let Self { disk, key } = self;
        if request.method.is_write() {
            disk.allow_writing(op::SIGN)?;
        }
        let place = disk.place(op::SIGN, key)?.into_owned();
        disk.placed(op::SIGN, check(&request)).map_err(|error| about(error, key))?;
        let request = &Sign { key: place, ..request };
        let sign = |store: Held<Disks>| async move { store.sign(request).await };
        disk.line().call(op::SIGN, sign).await.map_err(|error| about(error, key))
    }
}

/// An address about to be signed under which an object may be read. It is signed when this is awaited.
#[must_use = "nothing is signed until it is awaited"]
#[derive(Clone, Debug)]
pub struct SignGet<'d> {
    signing: Signing<'d>,
    request: Sign,
}

impl SignGet<'_> {
    /// How it is offered to people, whatever was said of the object: `inline`. For names of files there is
    /// [`attachment`](Self::attachment).
    pub fn content_disposition(mut self, disposition: impl Into<String>) -> Self {
        self.request.content_disposition = Some(disposition.into());
        self
    }

    /// It is offered to people as a file of that name, whatever is in the name.
    pub fn attachment(self, file_name: &str) -> Self {
        self.content_disposition(attachment(file_name))
    }
}

/// An address about to be signed under which an object may be stored. It is signed when this is awaited.
#[must_use = "nothing is signed until it is awaited"]
#[derive(Clone, Debug)]
pub struct SignPut<'d> {
    signing: Signing<'d>,
    request: Sign,
}

impl SignPut<'_> {
    /// The kind of content that it must be.
    pub fn content_type(mut self, content_type: impl Into<String>) -> Self {
        self.request.content_type = Some(content_type.into());
        self
    }

    /// The most bytes that it may have.
    ///
    /// A service that signs itself and cannot hold to it answers
    /// [`Unsupported`](ErrorKind::Unsupported).
    pub fn size_max(mut self, bytes: u64) -> Self {
        self.request.size_max = Some(bytes);
        self
    }
}

impl<'d> IntoFuture for SignGet<'d> {
    type Output = Result<Signed>;
    type IntoFuture = BoxFuture<'d, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.signing.run(self.request))
    }
}

impl<'d> IntoFuture for SignPut<'d> {
    type Output = Result<Signed>;
    type IntoFuture = BoxFuture<'d, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.signing.run(self.request))
    }
}

fn check(request: &Sign) -> Result<()> {
    if request.ttl < Duration::from_secs(1) || request.ttl > Sign::TTL_MAX {
        return Err(Error::new(ErrorKind::InvalidInput, "no address is good for that long")
            .with_context("ttl_s", request.ttl.as_secs())
            .with_context("ttl_max_s", Sign::TTL_MAX.as_secs())
            .with_hint("the shortest time is a second")
            .not_applied());
    }
    let (content_type, content_disposition) =
        (request.content_type.clone(), request.content_disposition.clone());
    Attributes { content_type, content_disposition, ..Attributes::default() }.check()
}

/// The name twice: for those who read only ASCII, and as it is.
fn attachment(file_name: &str) -> String {
    let plain = |letter: char| match letter {
        '"' | '\\' | '%' | '/' => '_',
        ' '..='~' => letter,
        _ => '_',
    };
    let plain: String = file_name.chars().map(plain).collect();
    let whole = utf8_percent_encode(file_name, UNRESERVED);
    format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{whole}")
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use switchboard_core::{
        Descriptor, Environment, Lifecycle, Manager, NoSettings, Registry, Reply, Settings, Support,
    };

    use super::*;
    use crate::driver::{Fetched, List, Page, Read, Stored, Write, capability};
    use crate::{Key, Meta, StorageDriver, Version};

    /// A service that signs itself, and does nothing else.
    struct Notary;

    impl Lifecycle for Notary {}

    impl StorageDriver for Notary {
        fn sign<'a>(&'a self, request: &'a Sign) -> Reply<'a, Signed> {
            let Sign { method, key, .. } = request;
            let now = std::time::SystemTime::UNIX_EPOCH;
            Reply::ready(Ok(Signed::new(*method, format!("https://notary/{key}"), now)))
        }

        fn head<'a>(&'a self, _: Key<'a>) -> Reply<'a, Meta> {
            nothing()
        }

        fn get<'a>(&'a self, _: Key<'a>, _: &'a Read) -> Reply<'a, Option<Fetched>> {
            nothing()
        }

        fn put<'a>(&'a self, _: Key<'a>, _: Bytes, _: &'a Write) -> Reply<'a, Stored> {
            nothing()
        }

        fn delete<'a>(&'a self, _: Key<'a>, _: Option<&'a Version>) -> Reply<'a, bool> {
            nothing()
        }

        fn list<'a>(&'a self, _: &'a List) -> Reply<'a, Page> {
            nothing()
        }
    }

    fn nothing<T: Send>() -> Reply<'static, T> {
        Reply::ready(Err(Error::new(ErrorKind::Unsupported, "the notary keeps nothing")))
    }

    async fn notary(settings: Settings) -> Disk {
        let registry = Registry::empty();
        let descriptor = Descriptor::new("notary").capability(capability::SIGN, Support::Native);
        let make = |_: NoSettings, _| async { Ok(Notary) };
        crate::register(&registry, descriptor, make).unwrap();
        let disks = Manager::<Disks>::new(registry, &Environment::new()).unwrap();
        disks.configure("main", &settings.with("driver", "notary")).unwrap();
        disks.get("main").await.unwrap()
    }

    const MINUTE: Duration = Duration::from_mins(1);

    #[tokio::test]
    async fn a_service_that_signs_is_asked_for_the_object_as_it_keeps_it() {
        let disk = notary(Settings::new().with("prefix", "tenants/7")).await;
        let signed = disk.scope("photos").unwrap().sign("cat").get(MINUTE).await.unwrap();
        assert_eq!(signed.url, "https://notary/tenants/7/photos/cat");
        let capabilities = disk.line().capabilities().await.unwrap();
        assert_eq!(capabilities.support(capability::SIGN), Support::Native);
        for key in ["", "../cat", "a//b"] {
            let error = disk.sign(key).get(MINUTE).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
        }
    }

    #[tokio::test]
    async fn no_service_is_asked_to_sign_where_the_application_has_keys_of_its_own() {
        let key =
            Settings::new().with("id", "1").with("secret", "0123456789abcdef0123456789abcdef");
        let settings = Settings::new().with("prefix", "tenants/7").with("sign_keys", vec![key]);
        let disk = notary(settings.with("public_url", "https://files.example.com/")).await;
        let signed = disk.sign("cat").get(MINUTE).await.unwrap();
        // The handler asks the disk, which knows its prefix.
        assert!(signed.url.starts_with("https://files.example.com/cat?"), "{}", signed.url);
        let capabilities = disk.line().capabilities().await.unwrap();
        assert_eq!(capabilities.support(capability::SIGN), Support::Emulated);
    }

    #[tokio::test]
    async fn what_requires_signing_is_served_by_whatever_disk_has_keys() {
        let key =
            Settings::new().with("id", "1").with("secret", "0123456789abcdef0123456789abcdef");
        let disks = Manager::<Disks>::new(Registry::with_built_ins().unwrap(), &Environment::new())
            .unwrap();
        let required = Settings::new().with("driver", "memory").with("require", ["sign"]);
        let error = disks.configure("without", &required).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        let keyed = required.with("public_url", "https://a.example").with("sign_keys", vec![key]);
        disks.configure("with", &keyed).unwrap();
        disks.get("with").await.unwrap().sign("cat").get(MINUTE).await.unwrap();
    }

    #[tokio::test]
    async fn a_disk_for_reading_signs_nothing_else() {
        let disk = notary(Settings::new().with("read_only", true)).await;
        disk.sign("cat").get(MINUTE).await.unwrap();
        disk.sign("cat").head(MINUTE).await.unwrap();
        for refused in [disk.sign("cat").put(MINUTE).await, disk.sign("cat").delete(MINUTE).await] {
            assert_eq!(refused.unwrap_err().kind(), ErrorKind::PermissionDenied);
        }
    }

    #[test]
    fn no_name_of_a_file_says_more_than_its_name() {
        for (name, header) in [
            ("a.pdf", "attachment; filename=\"a.pdf\"; filename*=UTF-8''a.pdf"),
            ("März 7", "attachment; filename=\"M_rz 7\"; filename*=UTF-8''M%C3%A4rz%207"),
            (
                "a\"; x=\"b\\\r\nset-cookie: c",
                "attachment; filename=\"a_; x=_b___set-cookie: c\"; \
                 filename*=UTF-8''a%22%3B%20x%3D%22b%5C%0D%0Aset-cookie%3A%20c",
            ),
        ] {
            assert_eq!(attachment(name), header);
            let mut request = Sign::new(Method::Get, "key", Duration::from_secs(1));
            request.content_disposition = Some(attachment(name));
            check(&request).unwrap();
        }
    }

    #[test]
    fn an_address_is_good_for_a_second_to_a_week() {
        let check = |ttl| check(&Sign::new(Method::Get, "key", ttl));
        for ttl in [Duration::from_secs(1), Sign::TTL_MAX] {
            check(ttl).unwrap();
        }
        let beyond = Sign::TTL_MAX + Duration::from_nanos(1);
        for ttl in [Duration::ZERO, Duration::from_millis(999), beyond, Duration::MAX] {
            assert_eq!(check(ttl).unwrap_err().kind(), ErrorKind::InvalidInput, "{ttl:?}");
        }
    }

    #[test]
    fn nothing_that_is_signed_becomes_another_header() {
        let mut request = Sign::new(Method::Get, "key", Duration::from_secs(1));
        request.content_disposition = Some("inline\r\nset-cookie: a".to_owned());
        assert_eq!(check(&request).unwrap_err().kind(), ErrorKind::InvalidInput);
        let mut request = Sign::new(Method::Put, "key", Duration::from_secs(1));
        request.content_type = Some("text/plain\n".to_owned());
        assert_eq!(check(&request).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}
