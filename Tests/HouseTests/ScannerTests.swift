import Testing

/// The scanners on samples that are wrong on purpose: a scan that cannot fail proves nothing.
@Suite struct ScannerTests {
  private static let manifest = Manifest(
    """
    let yams = Target.Dependency.product(name: "Yams", package: "Yams")
    let package = Package(
      products: [.executable(name: "ceralacca", targets: ["ceralacca"])],
      targets: [
        .systemLibrary(name: "CLibuv", pkgConfig: "libuv", providers: [.apt(["libuv1-dev"])]),
        .target(name: "CPlatform", linkerSettings: [.linkedLibrary("crypt")]),
        room("Octets", ["CPlatform"]),
        room("Limits"),
        room("PEC", ["Octets", "Limits"]),
        room(
          "EventLoop",
          [
            "CLibuv", "Octets",
          ]),
        room("Configuration", ["Limits", yams]),
        .executableTarget(
          name: "ceralacca", dependencies: ["Configuration", "EventLoop", yams], swiftSettings: strict),
        tests("OctetsTests", ["Octets"]),
      ]
    )
    """)

  @Test func theManifestIsRead() {
    #expect(
      Self.manifest.targets == [
        "CLibuv": [], "CPlatform": [], "Octets": ["CPlatform"], "Limits": [], "PEC": ["Octets", "Limits"],
        "EventLoop": ["CLibuv", "Octets"],
        "Configuration": ["Limits", "Yams"], "ceralacca": ["Configuration", "EventLoop", "Yams"],
      ])
    #expect(Self.manifest.fences == ["CLibuv", "CPlatform"])
    #expect(Self.manifest.products == ["Yams"])
  }

  @Test(
    arguments: [
      ("PEC", "import Octets", nil),
      ("PEC", "public import Limits", nil),
      ("PEC", "import EventLoop", "PEC does not declare EventLoop in Package.swift"),
      ("PEC", "import struct EventLoop.Loop", "PEC does not declare EventLoop in Package.swift"),
      ("PEC", "@testable import EventLoop", "PEC does not declare EventLoop in Package.swift"),
      ("PEC", "  internal import Foundation", "PEC does not declare Foundation in Package.swift"),
      ("PEC", "import Glibc", "PEC is pure and may not import Glibc"),
      ("PEC", "internal import Synchronization", "PEC is pure and may not import Synchronization"),
      ("PEC", "internal import CLibuv", "PEC does not declare the fence CLibuv"),
      ("Configuration", "internal import Foundation", nil),
      ("EventLoop", "internal import CLibuv", nil),
      ("EventLoop", "internal import Glibc", nil),
      ("EventLoop", "import CLibuv", "the fence CLibuv must be imported as 'internal import'"),
      ("EventLoop", "public import CLibuv", "the fence CLibuv must be imported as 'internal import'"),
      ("EventLoop", "@_exported import CLibuv", "the fence CLibuv must be imported as 'internal import'"),
      ("EventLoop", "// import Foundation", nil),
      ("EventLoop", "let text = \"\"\"\n  import Foundation\n  \"\"\"", nil),
    ] as [(String, String, String?)])
  func imports(room: String, source: String, said: String?) {
    let found = Scanners.imports(room: room, path: "f", text: SourceText(source), manifest: Self.manifest)
    #expect(found.map(\.what) == (said.map { [$0] } ?? []))
  }

  @Test func arrows() {
    #expect(Scanners.arrows(Self.manifest) == [])
    let bad = Manifest(
      """
      let grdb = Target.Dependency.product(name: "GRDB", package: "GRDB.swift")
      targets: [
      .systemLibrary(name: "CLibuv"),
      room("Octets", ["PEC"]), room("Limits", ["CLibuv"]), room("PEC", ["Ledger", grdb]), room("Ledger", ["Spool", "PEC", grdb]),
      room("Spool", ["Gateway"]), room("Gateway", ["Ledger"]), room("Cellar"),
      """)
    #expect(
      Scanners.arrows(bad) == [
        "Cellar stands on no floor: give it one in HouseRules", "Ledger may not depend on Spool", "Limits may not depend on CLibuv",
        "Octets may not depend on PEC", "PEC may not depend on GRDB", "PEC may not depend on Ledger", "Spool may not depend on Gateway",
      ])
  }

  @Test func sizes() {
    #expect(Scanners.fileSize(path: "f", lines: 500) == [])
    #expect(Scanners.fileSize(path: "f", lines: 501).count == 1)
    let filler = Array(repeating: "    work() // {", count: 68).joined(separator: "\n")
    func found(_ head: String, _ more: String = "") -> [String] {
      Scanners.functionSizes(path: "f", text: SourceText("struct S {\n  \(head)\n\(filler)\n\(more)  }\n  func short() {}\n}\n")).map(
        \.what)
    }
    #expect(found("func long() {") == [])
    #expect(found("func long() {", "    \"}\"\n") == ["long has 71 lines; more than 70 is two things"])
    #expect(found("func long(\n    a: Int,\n    b: () -> Void = {}\n  ) -> Int {") == ["long has 73 lines; more than 70 is two things"])
    #expect(found("init(a: Int) {", "\n") == ["init has 71 lines; more than 70 is two things"])
    #expect(found("deinit {", "\n") == ["deinit has 71 lines; more than 70 is two things"])
    #expect(found("func generic<T>(_ t: T) -> T\n  where T: Sendable {", "\n") == ["generic has 72 lines; more than 70 is two things"])
    let requirement = "protocol P {\n  func one()\n  func two() -> Int\n}\nstruct S {\n\(filler)\n\(filler)\n}\n"
    #expect(Scanners.functionSizes(path: "f", text: SourceText(requirement)) == [])
  }

  @Test(
    arguments: [
      ("PEC", "// " + "TO" + "DO: later", "TO" + "DO is left over"),
      ("PEC", "let a = \"" + "XX" + "X\"", "XX" + "X is left over"),
      ("PEC", "let a = \"" + "XXX" + "XXX\"", nil),
      ("PEC", "let a = try! f()", "'try!' ends the process"),
      ("PEC", "// never try! here", nil),
      ("PEC", "fatalError(\"no\")", "'fatalError' ends the process"),
      ("Gateway", "usleep(5)", "'usleep' holds a thread up"),
      ("Gateway", "Thread.sleep(forTimeInterval: 1)", "'sleep' holds a thread up"),
      ("Gateway", "let sleeper = 1", nil),
      ("Gateway", "print(a)", "'print' is not for Gateway"),
      ("Gateway", "fingerprint(a)", nil),
      ("Operations", "print(a)", nil),
      ("PEC", "let a = unsafe b", "'unsafe' belongs behind a fence, not into PEC"),
      ("PEC", "let a: UnsafePointer<Int>", "'UnsafePointer' belongs behind a fence, not into PEC"),
      ("PEC", "a.withUnsafeBytes { }", "'withUnsafeBytes' belongs behind a fence, not into PEC"),
      ("PEC", "final class A: @unchecked Sendable {}", "'@unchecked' belongs behind a fence, not into PEC"),
      ("Gateway", "Unmanaged.passRetained(a)", "'Unmanaged' belongs behind a fence, not into Gateway"),
      ("PEC", "let a = \"\\(f(\"unsafe\")) unsafe\"", nil),
      ("PEC", "let a = #\"\\(unsafe)\"#", nil),
      ("PEC", "/* unsafe /* unsafe */ unsafe */ let a = 1", nil),
      ("PEC", "let a = \"\\\"\"; unsafe b", "'unsafe' belongs behind a fence, not into PEC"),
      ("Octets", "let a = unsafe b", nil),
    ] as [(String, String, String?)])
  func words(room: String, source: String, said: String?) {
    let found = Scanners.words(room: room, path: "Sources/\(room)/f.swift", text: SourceText(source))
    #expect(found.map(\.what) == (said.map { [$0] } ?? []))
  }

  @Test(
    arguments: [
      ("/// What it is.\npublic struct S {}", nil),
      ("public struct S {}", "public struct without a doc comment"),
      ("// Not documentation.\npublic func f() {}", "public func without a doc comment"),
      ("/// What.\n@inlinable\n@discardableResult\npublic func f() {}", nil),
      ("@inlinable public mutating func f() {}", "public func without a doc comment"),
      ("  public static func f() {}", "public func without a doc comment"),
      ("public final class C {}", "public class without a doc comment"),
      ("public indirect enum E {}", "public enum without a doc comment"),
      ("public protocol P {}", "public protocol without a doc comment"),
      ("public typealias T = Int", "public typealias without a doc comment"),
      ("public init(a: Int) {}", "public init without a doc comment"),
      ("public init() {}", nil),
      ("public var a = 1", nil),
      ("let text = \"public struct S\"", nil),
      ("struct S {}\n/// Above something else.\nlet a = 1\npublic enum E {}", "public enum without a doc comment"),
    ] as [(String, String?)])
  func documentation(source: String, said: String?) {
    #expect(Scanners.documentation(path: "f", text: SourceText(source)).map(\.what) == (said.map { [$0] } ?? []))
  }

  @Test func leftOversAtTheTop() {
    #expect(["notes.txt", "build", "node_modules", ".vscode", "Package.resolved~"].allSatisfy { HouseRules.isLeftOver($0) })
    #expect(["Sources", ".git", ".build", ".build-asan", "Package.resolved", "README.md"].allSatisfy { !HouseRules.isLeftOver($0) })
    #expect(Scanners.places(path: "f", text: "a\nb /wo" + "rk/main\n").map(\.description) == ["f:2: names the place '/wo" + "rk/'"])
  }

  @Test func linesStayWhereTheyAre() {
    let text = "a\n/* b\nc */ d\n\"\"\"\ne \\(f(\"g\\(h)\"))\n\"\"\" + i\nlet j = \"k\" // l"
    #expect(SourceText(text).code == ["a", "    ", "     d", "\"\"\"", "               ", "\"\"\" + i", "let j = \" \"     "])
  }
}
