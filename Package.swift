// swift-tools-version: 6.2
// The manifest is the architecture: a room may import what it names here and nothing else (Tests/HouseTests holds it to that).
import PackageDescription

/// Settings of every room: Swift 6 language mode, strict memory safety, no warning left standing.
let strict: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .strictMemorySafety(),
  .treatAllWarnings(as: .error),
]

/// A room of the house: a target with its dependencies, named from the ground up.
func room(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
  .target(name: name, dependencies: dependencies, swiftSettings: strict)
}

/// The tests of a room.
func tests(_ name: String, _ dependencies: [Target.Dependency], resources: [Resource] = []) -> Target {
  .testTarget(
    name: name, dependencies: dependencies, resources: resources,
    swiftSettings: [.swiftLanguageMode(.v6), .treatAllWarnings(as: .error)])
}

let yams = Target.Dependency.product(name: "Yams", package: "Yams")
let grdb = Target.Dependency.product(name: "GRDB", package: "GRDB.swift")
let argumentParser = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")
let log = Target.Dependency.product(name: "Logging", package: "swift-log")

/// Multi-buffer RSA, which Appliance/crypto-mb fetches; without it the fence is built all the same, and says that it is not there.
/// The environment is asked and not the disk: SwiftPM keeps what a manifest said for as long as its text and the environment stay.
let cryptoMB: (compiled: [CSetting], linked: [LinkerSetting]) =
  Context.environment["CERALACCA_CRYPTO_MB"] == "1"
  ? (
    [.define("CERALACCA_CRYPTO_MB"), .headerSearchPath("../../.build-crypto-mb/include")],
    [.unsafeFlags(["-L\(Context.packageDirectory)/.build-crypto-mb/lib"]), .linkedLibrary("crypto_mb")]
  ) : ([], [])

let package = Package(
  name: "ceralacca",
  products: [
    .executable(name: "ceralacca", targets: ["ceralacca"]),
    .executable(name: "ceralacca-scanner", targets: ["ceralacca-scanner"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
    .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
    .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
  ],
  targets: [
    // Fences: C behind module maps and static inline shims.
    .systemLibrary(name: "CLibuv", pkgConfig: "libuv", providers: [.apt(["libuv1-dev"])]),
    .systemLibrary(name: "COpenSSL", pkgConfig: "openssl", providers: [.apt(["libssl-dev"])]),
    // The header alone: which library is a token's says the operator.
    .systemLibrary(name: "CPKCS11", providers: [.apt(["libp11-kit-dev"])]),
    .target(name: "CPlatform", linkerSettings: [.linkedLibrary("crypt")]),
    .systemLibrary(name: "CCurl", pkgConfig: "libcurl", providers: [.apt(["libcurl4-openssl-dev"])]),
    .systemLibrary(name: "CLDAP", providers: [.apt(["libldap-dev"])]),
    .systemLibrary(name: "CLibclamav", pkgConfig: "libclamav", providers: [.apt(["libclamav-dev"])]),
    .systemLibrary(name: "CLibzip", pkgConfig: "libzip", providers: [.apt(["libzip-dev"])]),
    .target(name: "CConfinement", linkerSettings: [.linkedLibrary("seccomp")]),
    .target(name: "CScratch"),
    .target(name: "CCryptoMB", cSettings: cryptoMB.compiled, linkerSettings: cryptoMB.linked),
    .systemLibrary(name: "CUnbound", providers: [.apt(["libunbound-dev"])]),
    .systemLibrary(name: "CMicrohttpd", pkgConfig: "libmicrohttpd", providers: [.apt(["libmicrohttpd-dev"])]),
    .systemLibrary(name: "CPango", pkgConfig: "pangocairo", providers: [.apt(["libpango1.0-dev"])]),

    // Ground.
    room("Octets", ["CPlatform"]),
    room("Limits"),
    room("Threading", ["CPlatform"]),
    room("Channels", ["CPlatform", "Octets"]),
    room("Digests", ["COpenSSL"]),
    room("Metering"),

    // Floor 1, pure: the rules.
    room("MIMEStream", ["Octets", "Limits"]),
    room("SMTPWire", ["Octets", "Limits"]),
    room("PEC", ["Octets", "Limits", "MIMEStream"]),
    room("Reception", ["Octets", "Limits", "MIMEStream", "PEC"]),
    room("ScanWire", ["Octets"]),
    room("DovecotWire", ["Octets"]),
    room("MailRouting", ["Octets", "Limits"]),
    room("MIMEViews", ["Octets", "Limits", "MIMEStream"]),

    // Floor 2, pure: a message's life.
    room("Journey", ["Octets", "Limits", "MIMEStream", "PEC", "Reception", "ScanWire"]),
    room("Evidence", ["Octets", "Digests", "PEC", "Journey"]),
    room("Extracts", ["Octets", "Digests", "PEC", "Journey", "Evidence"]),
    room("LogRequests", ["Octets", "Limits", "MIMEStream", "PEC", "Journey"]),

    // Floor 3, IO: one fenced resource each.
    room("EventLoop", ["CLibuv", "Octets"]),
    room("TLSPipe", ["COpenSSL", "Octets"]),
    room("Signing", ["COpenSSL", "CPKCS11", "CCryptoMB", "Octets", "Threading"]),
    room("Spool", ["CPlatform", "Octets"]),
    room("Ledger", ["Octets", "Threading", "PEC", "Reception", "Journey", "Evidence", grdb]),
    room("Mailstore", ["CPlatform", "Octets"]),
    room("Accounts", ["CPlatform", "Octets"]),
    room("ProviderIndex", ["PEC"]),
    room("WebFetch", ["CCurl"]),
    room("MailboxSearch", ["CCurl"]),
    room("LDAPSearch", ["CLDAP"]),
    room("NameResolution", ["CUnbound", "Threading", "MailRouting"]),
    room("Configuration", ["Limits", yams]),
    room("Confinement", ["CConfinement"]),
    room("ScanEngine", ["CLibclamav", "CScratch", "Octets", "ScanWire"]),
    room("Scanning", ["COpenSSL", "Channels", "Octets", "ScanWire", "Threading"]),
    room("Quarantine", ["CPlatform", "Octets", "Journey"]),
    room("SealedArchive", ["CLibzip", "Octets"]),
    room("ClockWatch", ["CPlatform"]),
    room("Supervision", ["CPlatform"]),
    room("TimeStamping", ["COpenSSL", "Octets"]),
    room("PagePrinting", ["CPango"]),
    room("HTTPService", ["CMicrohttpd"]),

    // Floor 4: the wiring.
    room(
      "Sealing",
      [
        "Octets", "Digests", "PEC", "Journey", "Evidence", "Extracts", "Ledger", "Signing", "TimeStamping", "WebFetch", "PagePrinting",
        "SealedArchive", "Configuration",
      ]),
    room(
      "Gateway",
      [
        "Octets", "Digests", "Limits", "Threading", "MIMEStream", "SMTPWire", "PEC", "Reception", "Journey", "EventLoop", "TLSPipe",
        "Signing", "Spool", "Ledger", "Mailstore", "Accounts", "ProviderIndex", "WebFetch", "LDAPSearch", "Configuration", "ScanWire",
        "Scanning", "Quarantine", "ClockWatch", "Extracts", "Sealing", "LogRequests", "DovecotWire", "MailRouting", "NameResolution",
        "Metering", "HTTPService", "MailboxSearch", log,
      ]),
    // The scanner's own processes: the gateway and its key are not among them.
    room("ScannerWork", ["Channels", "Confinement", "Limits", "MIMEViews", "Octets", "ScanEngine", "ScanWire"]),

    // Floor 5: what people do with it.
    room(
      "Laboratory",
      [
        "COpenSSL", "Octets", "Limits", "MIMEStream", "EventLoop", "TLSPipe", "SMTPWire", "PEC", "Accounts", "Signing", "TimeStamping",
        "Configuration", "Gateway", "Operations", log,
      ]),
    room(
      "Operations",
      [
        "Octets", "Limits", "Threading", "Channels", "EventLoop", "MIMEStream", "PEC", "Reception", "Journey", "Signing", "Spool",
        "Ledger", "Accounts", "ProviderIndex", "Supervision", "TLSPipe", "Configuration", "Gateway", "Quarantine", "SealedArchive",
        "ScanWire", "Scanning", "Extracts", "Sealing", "ClockWatch", "TimeStamping", "Digests", "SMTPWire", "DovecotWire", "MailRouting",
        "NameResolution", log,
      ]),

    // Top: argument parsing, nothing else.
    .executableTarget(
      name: "ceralacca", dependencies: ["Octets", "Journey", "Laboratory", "Operations", argumentParser],
      swiftSettings: strict),
    .executableTarget(name: "ceralacca-scanner", dependencies: ["ScannerWork"], swiftSettings: strict),

    // Fills a ledger and measures it: `Benchmarks/run log`.
    .executableTarget(
      name: "ledger-benchmark", dependencies: ["Ledger", "Journey", "PEC"], path: "Benchmarks/ledger", swiftSettings: strict),
    // Both ends of a measurement, a load generator and a sink: `Benchmarks/run` and the tests of it.
    .executableTarget(
      name: "smtp-load", dependencies: ["EventLoop", "Octets", "SMTPWire", "TLSPipe", "Threading", argumentParser],
      path: "Benchmarks/load", swiftSettings: strict),
    // A signature beside its RSA alone: `Benchmarks/run packaging`.
    .executableTarget(name: "signing-benchmark", dependencies: ["Octets", "Signing"], path: "Benchmarks/signing", swiftSettings: strict),
    // Runs the machines that every message passes, to have their instructions counted: `Benchmarks/run instructions`.
    .executableTarget(
      name: "instruction-count", dependencies: ["Ledger", "Journey", "PEC", "MIMEStream", "SMTPWire", "Limits", "Octets"],
      path: "Benchmarks/instructions", swiftSettings: strict),

    // Tests, a target for each room.
    tests("HouseTests", []),
    tests("OctetsTests", ["Octets"]),
    tests("ThreadingTests", ["Threading"]),
    tests("MeteringTests", ["Metering"]),
    tests("HTTPServiceTests", ["HTTPService"]),
    tests("MIMEStreamTests", ["MIMEStream", "Octets", "Limits"]),
    tests("SMTPWireTests", ["SMTPWire", "Octets", "Limits"]),
    tests("PECTests", ["PEC", "MIMEStream", "Octets", "Limits"], resources: [.copy("Fixtures")]),
    tests("ReceptionTests", ["Reception", "PEC", "MIMEStream", "Octets", "Limits"], resources: [.copy("Fixtures")]),
    tests("WebFetchTests", ["WebFetch"]),
    tests("MailboxSearchTests", ["MailboxSearch"]),
    tests("MailRoutingTests", ["MailRouting", "Limits", "Octets"]),
    tests("NameResolutionTests", ["NameResolution", "MailRouting"]),
    tests("LDAPSearchTests", ["LDAPSearch"], resources: [.copy("Fixtures")]),
    tests("JourneyTests", ["Journey", "Reception", "PEC", "MIMEStream", "Octets", "Limits"]),
    tests("ChannelsTests", ["Channels", "Octets"]),
    tests("DovecotWireTests", ["DovecotWire", "Octets"]),
    tests("ScanWireTests", ["ScanWire"]),
    tests("MIMEViewsTests", ["MIMEViews", "MIMEStream", "Octets", "Limits"]),
    tests("ConfinementTests", ["Confinement"], resources: [.copy("Fixtures")]),
    tests("ScratchTests", [], resources: [.copy("Fixtures")]),
    tests("ScanEngineTests", ["ScanEngine", "ScanWire", "Octets"]),
    tests("ScannerWorkTests", ["ScannerWork", "Channels", "ScanWire", "Octets"]),
    tests("ScanningTests", ["Scanning", "Channels", "ScanWire", "Octets"]),
    tests("QuarantineTests", ["Quarantine", "Journey", "Octets"]),
    tests("SealedArchiveTests", ["SealedArchive", "Octets"]),
    tests("DigestsTests", ["Digests"]),
    tests("EvidenceTests", ["Evidence", "Journey", "PEC", "Digests", "Octets"]),
    tests("ExtractsTests", ["Extracts", "Evidence", "Journey", "PEC", "Digests", "Octets"]),
    tests("LogRequestsTests", ["LogRequests", "Journey", "PEC", "MIMEStream", "Limits", "Octets"]),
    tests("ClockWatchTests", ["ClockWatch"]),
    tests("SupervisionTests", ["Supervision"]),
    tests("TimeStampingTests", ["TimeStamping", "Octets"]),
    tests("PagePrintingTests", ["PagePrinting"]),
    tests(
      "SealingTests",
      [
        "Sealing", "Ledger", "Evidence", "Extracts", "Journey", "PEC", "Signing", "TimeStamping", "Configuration", "Digests", "Octets",
        "Limits",
      ]
    ),
    tests("EventLoopTests", ["EventLoop", "Octets"]),
    tests("TLSPipeTests", ["TLSPipe", "Octets"]),
    tests("SigningTests", ["Signing", "Octets"]),
    tests("SpoolTests", ["Spool", "Octets"]),
    tests("LedgerTests", ["Ledger", "Journey", "Reception", "Evidence", "PEC", "Octets"]),
    tests("MailstoreTests", ["Mailstore", "Octets"]),
    tests("AccountsTests", ["Accounts"]),
    tests("ProviderIndexTests", ["ProviderIndex", "PEC"]),
    tests("ConfigurationTests", ["Configuration", "Limits"], resources: [.copy("Fixtures")]),
    tests(
      "GatewayTests",
      [
        "Gateway", "Accounts", "Journey", "Spool", "Ledger", "Signing", "PEC", "MIMEStream", "SMTPWire", "Limits", "Octets", "Metering",
        "Configuration", "EventLoop", log,
      ]),
    tests(
      "OperationsTests",
      ["Operations", "Configuration", "Journey", "Octets", "PEC", "Quarantine", "Signing", "SMTPWire", "Supervision", "ClockWatch"]),
    tests(
      "LaboratoryTests",
      [
        "Laboratory", "Operations", "Configuration", "Ledger", "Journey", "PEC", "Signing", "EventLoop", "TimeStamping", "WebFetch",
        "Octets",
        log,
      ]),
  ]
)
