//! stub
#[derive(Clone, Copy)] pub struct AppId(u32);
pub struct App { pub name: &'static str, pub category: &'static str }
pub struct Catalog;
impl Catalog { pub fn builtin() -> Self { Self } pub fn by_host(&self, _: &str) -> Option<AppId> { None } pub fn by_alpn(&self, _: &str) -> Option<AppId> { None } pub fn by_name(&self, _: &str) -> Option<AppId> { None } pub fn by_address(&self, _: std::net::IpAddr) -> Option<AppId> { None } pub fn app(&self, _: AppId) -> &App { &App { name: "", category: "" } } }
