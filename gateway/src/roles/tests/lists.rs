//! Revocation lists of the CAs that others keep: at the door and on the way to it, on new connections and open
//! ones.

use std::{fs, path::Path, sync::Arc};

use dataos_model::{clock::Clock as _, seams::RunQuery as _};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    RevokedCertParams, SanType, SerialNumber,
};
use time::{Duration, OffsetDateTime};

use super::{Scene, soon, statement};
use crate::roles::{Role, identity::Identity, link::Link, remote::RemoteQuery};

const LIST: &str = "ca.crl";

/// A CA that others keep.
struct Ca {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Ca {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        // Lists are found by the name of their issuer.
        let name = uuid::Uuid::new_v4().to_string();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let pem = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        Self { issuer, pem }
    }

    /// A folder with a certificate of a role that has this number.
    fn folder(&self, role: Role, serial: u64) -> tempfile::TempDir {
        let mut params = CertificateParams::default();
        params.serial_number = Some(SerialNumber::from(serial));
        let uri = role.uri("dataos");
        params.subject_alt_names = vec![SanType::URI(uri.as_str().try_into().unwrap())];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write("tls.crt", &certificate.pem());
        write("tls.key", &key.serialize_pem());
        write("ca.crt", &self.pem);
        folder
    }

    /// Writes a list that revokes these, and is good for so many hours.
    fn list(&self, folder: &Path, serials: &[u64], hours: i64) {
        let now = OffsetDateTime::now_utc();
        let revoked = serials.iter().map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: now - Duration::hours(3),
            reason_code: None,
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update: now - Duration::hours(2),
            next_update: now + Duration::hours(hours),
            crl_number: SerialNumber::from(1_u64),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = list.signed_by(&self.issuer).unwrap().pem().unwrap();
        fs::write(folder.join(LIST), list).unwrap();
    }
}

/// The gateway (1) and the query role (2) of a CA that others keep, with a door of the latter.
struct Pair {
    scene: Scene,
    ca: Ca,
    folders: [tempfile::TempDir; 2],
    identities: [Arc<Identity>; 2],
    address: String,
}

impl Pair {
    async fn new() -> Self {
        let (scene, ca) = (Scene::new().await, Ca::new());
        let folders = [ca.folder(Role::Gateway, 1), ca.folder(Role::Query, 2)];
        let now = scene.clock.now();
        let identity = |role, folder: &tempfile::TempDir| {
            Arc::new(Identity::of_folder(role, "dataos", folder.path(), now).unwrap())
        };
        let identities = [
            identity(Role::Gateway, &folders[0]),
            identity(Role::Query, &folders[1]),
        ];
        let rooms = scene.rooms(Role::Query).await;
        let door = Arc::clone(&identities[1]);
        let address = scene.open_as(door, "127.0.0.1:0", rooms).await;
        Self {
            scene,
            ca,
            folders,
            identities,
            address,
        }
    }

    fn link(&self) -> RemoteQuery {
        let addresses = [self.address.clone()];
        let clock = self.scene.clock();
        RemoteQuery(Link::open(
            Role::Query,
            &addresses,
            &self.identities[0],
            &clock,
        ))
    }

    /// The list of one side, taken up.
    fn list(&self, side: usize, serials: &[u64], hours: i64) {
        self.ca.list(self.folders[side].path(), serials, hours);
        self.identities[side]
            .take_up(self.scene.clock.now())
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_a_list_revokes_is_out_on_open_connections_and_new_ones() {
    let pair = Pair::new().await;
    let query = pair.link();
    query.run(statement()).await.unwrap();
    pair.list(1, &[7], 24);
    query.run(statement()).await.unwrap();
    pair.link().run(statement()).await.unwrap();
    pair.list(1, &[7, 1], 24);
    query.run(statement()).await.unwrap_err();
    let told = pair.scene.told();
    assert!(told.contains(&"certificate_revoked"), "{told:?}");
    pair.link().run(statement()).await.unwrap_err();
    let is_told = || pair.scene.told().contains(&"role_certificate_refused");
    soon("refused in the handshake", is_told).await;
    pair.list(1, &[7], 24);
    pair.link().run(statement()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_a_list_revokes_is_not_called() {
    let pair = Pair::new().await;
    let query = pair.link();
    query.run(statement()).await.unwrap();
    pair.list(0, &[2], 24);
    for query in [query, pair.link()] {
        let fault = query.run(statement()).await.unwrap_err();
        assert_eq!(fault.reason, "role_away", "{fault}");
        assert!(fault.message.contains("Revoked"), "{fault}");
    }
    assert_eq!(
        pair.scene.begun.load(std::sync::atomic::Ordering::SeqCst),
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_is_too_old_lets_nobody_in_and_one_that_is_none_is_not_taken_up() {
    let pair = Pair::new().await;
    pair.list(1, &[], -1);
    pair.link().run(statement()).await.unwrap_err();
    pair.list(1, &[], 24);
    pair.link().run(statement()).await.unwrap();
    for nonsense in ["", "no list", &pair.ca.pem] {
        fs::write(pair.folders[1].path().join(LIST), nonsense).unwrap();
        let fault = pair.identities[1]
            .take_up(pair.scene.clock.now())
            .unwrap_err();
        assert!(fault.message.contains(LIST), "{fault}");
        pair.link().run(statement()).await.unwrap();
    }
    // Of another CA: it says nothing of ours.
    let other = Ca::new();
    other.list(pair.folders[1].path(), &[1], 24);
    pair.identities[1].take_up(pair.scene.clock.now()).unwrap();
    pair.link().run(statement()).await.unwrap();
}
