import Foundation
import Testing

/// House rule 10: style that matters is a test with a number.
@Suite struct TidyTests {
  @Test func everyRoomIsInTheManifest() throws {
    let folders = try FileManager.default.contentsOfDirectory(atPath: House.root.appendingPathComponent("Sources").path)
    let targets = try House.manifest().targets.keys
    #expect(Set(folders.filter { !$0.hasPrefix(".") }).subtracting(targets).sorted() == [], "folders that are no target")
    #expect(Set(targets).subtracting(folders).sorted() == [], "targets without a folder")
    #expect(targets.count > 10)
  }

  @Test func importsAreWhatTheManifestSays() throws {
    let manifest = try House.manifest()
    let findings = try House.sources().flatMap { Scanners.imports(room: $0.room, path: $0.path, text: $0.text, manifest: manifest) }
    #expect(findings.isEmpty, "\(list(findings))")
  }

  @Test func whatTheManifestSaysIsImported() throws {
    var imported: [String: Set<String>] = [:]
    for source in try House.sources() { imported[source.room, default: []].formUnion(Import.all(in: source.text).map(\.module)) }
    let idle = try House.manifest().targets.sorted { $0.key < $1.key }.flatMap { room, dependencies in
      dependencies.subtracting(imported[room] ?? []).sorted().map { "\(room) declares \($0) and never imports it" }
    }
    #expect(idle.isEmpty, "\(idle.joined(separator: "\n"))")
  }

  @Test func arrowsGoDown() throws {
    let wrong = try Scanners.arrows(House.manifest())
    #expect(wrong.isEmpty, "\(wrong.joined(separator: "\n"))")
  }

  @Test func filesAndFunctionsAreShort() throws {
    var findings = try House.files(below: "Sources", endings: ["swift", "c", "h"]).flatMap { path in
      Scanners.fileSize(path: path, lines: try House.text(path).split(separator: "\n", omittingEmptySubsequences: false).count - 1)
    }
    findings += try House.sources().flatMap { Scanners.functionSizes(path: $0.path, text: $0.text) }
    #expect(findings.isEmpty, "\(list(findings))")
    for (name, reason) in HouseRules.longer { #expect(reason.count > 20, "\(name) needs a reason") }
  }

  @Test func noWordIsOutOfPlace() throws {
    let findings = try House.sources().flatMap { Scanners.words(room: $0.room, path: $0.path, text: $0.text) }
    #expect(findings.isEmpty, "\(list(findings))")
  }

  @Test func publicDeclarationsAreDocumented() throws {
    let findings = try House.sources().flatMap { Scanners.documentation(path: $0.path, text: $0.text) }
    #expect(findings.isEmpty, "\(list(findings))")
  }

  @Test func noMachineIsNamed() throws {
    let endings = ["swift", "c", "h", "py", "sh", "yaml", "yml", "md", "cf", "ldif"]
    var paths: [String] = []
    for folder in ["Sources", "Tests", "Appliance", "Benchmarks", ".ci"]
    where FileManager.default.fileExists(atPath: House.root.appendingPathComponent(folder).path) {
      paths += try House.files(below: folder, endings: endings + [""])
    }
    paths += try FileManager.default.contentsOfDirectory(atPath: House.root.path).filter { $0.hasSuffix(".md") || $0.hasSuffix(".yml") }
    let findings = paths.flatMap { path in (try? House.text(path)).map { Scanners.places(path: path, text: $0) } ?? [] }
      .filter { !$0.path.hasPrefix("Tests/HouseTests/") }
    #expect(findings.isEmpty, "\(list(findings))")
  }

  @Test func theTopLevelHoldsWhatBelongsThere() throws {
    let names = try FileManager.default.contentsOfDirectory(atPath: House.root.path)
    #expect(names.filter { HouseRules.isLeftOver($0) }.sorted() == [])
  }

  private func list(_ findings: [Finding]) -> String { findings.map(\.description).joined(separator: "\n") }
}
