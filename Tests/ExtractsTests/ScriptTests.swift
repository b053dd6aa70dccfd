import Extracts
import Foundation
import Testing

/// `verifica.sh` in the shells of other people's machines, against bundles that openssl's command line signed and stamped.
@Suite struct ScriptTests {
  let world: World
  init() throws { world = try World.shared.get() }

  /// A folder with the tools of busybox alone, and openssl.
  private static func busyboxTools(_ desk: Desk) throws -> String {
    let folder = "\(desk.path)/tools"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    let names = try desk.run(["busybox", "--list"]).words.split(separator: "\n").map(String.init)
    let busybox = try desk.run(["sh", "-c", "command -v busybox"]).words.trimmingCharacters(in: .whitespacesAndNewlines)
    let openssl = try desk.run(["sh", "-c", "command -v openssl"]).words.trimmingCharacters(in: .whitespacesAndNewlines)
    for name in names { try FileManager.default.createSymbolicLink(atPath: "\(folder)/\(name)", withDestinationPath: busybox) }
    try FileManager.default.createSymbolicLink(atPath: "\(folder)/openssl", withDestinationPath: openssl)
    return folder
  }

  private func check(_ files: [BundleFile], _ options: [String] = [], shell: String = "dash") throws -> (code: Int32, words: String) {
    let desk = Desk()
    try desk.lay(files, in: "estratto")
    return try desk.run([shell, "estratto/verifica.sh"] + options)
  }

  @Test(arguments: ["dash", "bash"])
  func aWholeBundleChecks(_ shell: String) throws {
    let answer = try check(world.files, shell: shell)
    #expect(answer.code == 0, "\(answer.words)")
    #expect(answer.words.contains("VERIFICA RIUSCITA.\n"))
    #expect(answer.words.contains("5 righe, tutte provate"))
    #expect(answer.words.components(separatedBy: "data certa").count == 4)
    #expect(answer.words.components(separatedBy: "non era revocato").count == 4)
    #expect(answer.words.contains("posta-certificata"))
  }

  @Test func itChecksWithBusyboxAlone() throws {
    let desk = Desk()
    let tools = try ScriptTests.busyboxTools(desk)
    try desk.lay(world.files, in: "estratto")
    let answer = try desk.run(["sh", "estratto/verifica.sh"], tools: tools)
    #expect(answer.code == 0, "\(answer.words)")
    #expect(answer.words.contains("VERIFICA RIUSCITA.\n"))
    #expect(!answer.words.contains("not found"))
    try desk.lay(world.relisted(world.files.replacing("eventi/9.json", "5120", "5121")), in: "estratto")
    let damaged = try desk.run(["sh", "estratto/verifica.sh"], tools: tools)
    #expect(damaged.code == 1)
    #expect(damaged.words.contains("riga 9: non porta all'impronta del sigillo 1"), "\(damaged.words)")
  }

  @Test func authoritiesFromElsewhereDecide() throws {
    let keys = world.desk.path
    #expect(try check(world.files, ["-c", "\(keys)/ca.pem", "-t", "\(keys)/tsaca.pem"]).code == 0)
    let other = try check(world.files, ["-c", "\(keys)/altraca.pem"])
    #expect(other.code == 1)
    #expect(other.words.contains("ERRORE  contenuto.p7m") && other.words.contains("ERRORE  sigilli/1/sigillo.p7m"), "\(other.words)")
    let otherStamps = try check(world.files, ["-t", "\(keys)/altraca.pem"])
    #expect(otherStamps.code == 1)
    #expect(otherStamps.words.contains("ERRORE  sigilli/2/marca-2.tst"), "\(otherStamps.words)")
    #expect(try check(world.files, ["-c", "\(keys)/nothing.pem"]).code == 1)
    #expect(try check(world.files, ["-x"]).code == 1)
    #expect(try check(world.files, ["nowhere"]).code == 1)
  }

  @Test func itIsRunFromAnywhere() throws {
    let desk = Desk()
    try desk.lay(world.files, in: "un estratto")
    #expect(try desk.run(["dash", "verifica.sh"], in: "un estratto").code == 0)
    try desk.write(world.files["verifica.sh"], "fidata.sh")
    #expect(try desk.run(["dash", "fidata.sh", "un estratto"]).code == 0)
    #expect(try desk.run(["dash", "fidata.sh"]).code == 1)
  }

  /// Each kind of damage, and what the script says of it. Without the list of contents made anew, that alone finds it.
  @Test func theListOfContentsFindsEveryChange() throws {
    let files = world.files
    let own = [ExtractBundle.contentsName, ExtractBundle.contentsSignatureName]
    // All at once, another bit in each.
    var changed = files
    for (index, file) in files.enumerated() where !own.contains(file.path) {
      changed = changed.changing(file.path) { $0[(index * 7919) % $0.count] ^= 1 << UInt8(index % 8) }
    }
    let list = files.changing(ExtractBundle.contentsName) { $0[100] ^= 1 }
    for (damaged, paths) in [(changed, files.map(\.path).filter { !own.contains($0) }), (list, [own[0]])] {
      let desk = Desk()
      try desk.lay(damaged, in: "estratto")
      // The script cannot be asked about itself.
      try desk.write(files["verifica.sh"], "fidata.sh")
      let answer = try desk.run(["dash", "fidata.sh", "estratto"])
      #expect(answer.code == 1)
      for path in paths { #expect(answer.words.contains("ERRORE  \(path): "), "\(path): \(answer.words)") }
    }
    for path in ["eventi/9.json", "sigilli/2/marca-2.tst", ExtractBundle.contentsSignatureName] {
      let answer = try check(files.without(path))
      #expect(answer.code == 1)
      #expect(answer.words.contains("ERRORE  \(path): manca"), "\(answer.words)")
    }
    let added = try check(files + [BundleFile("eventi/5.json", Array("{}".utf8))])
    #expect(added.code == 1)
    #expect(added.words.contains("eventi/5.json: è in più"))
    #expect(try check(files.without(ExtractBundle.contentsName)).code == 1)
  }

  @Test func anotherSignatureOfTheListIsFound() throws {
    let files = world.files
    let stranger = try check(world.relisted(files, by: "estraneo"))
    #expect(stranger.code == 1)
    #expect(stranger.words.contains("contenuto.p7m: la firma non è valida"), "\(stranger.words)")
    let revoked = try check(world.relisted(files, by: "revocato"))
    #expect(revoked.code == 1)
    #expect(revoked.words.contains("era revocato"), "\(revoked.words)")
    let other = try World.signature(of: Array("x\n".utf8), world.desk)
    let swapped = try check(files.without(other.path) + [other])
    #expect(swapped.code == 1)
    #expect(swapped.words.contains("non è l'elenco che è stato firmato"))
    for at in stride(from: 3, to: files[other.path].count, by: 331) {
      let answer = try check(files.changing(other.path) { $0[at] ^= 4 })
      // A bit of the CMS that nothing rests on (an attribute that is not signed, a certificate's) may change: then the list still holds.
      if answer.code == 0 { #expect(answer.words.contains("la firma è valida")) }
    }
  }

  struct Damage: Sendable, CustomTestStringConvertible {
    var name: String
    var expected: String
    var make: @Sendable (World) throws -> [BundleFile]
    var testDescription: String { name }
  }

  private static func damage(_ name: String, _ expected: String, _ make: @escaping @Sendable (World) throws -> [BundleFile]) -> Damage {
    Damage(name: name, expected: expected, make: make)
  }

  private static let deep: [Damage] = [
    damage("a row's letter", "riga 11: non porta all'impronta del sigillo 2") {
      $0.files.replacing("eventi/11.json", "anna@pec", "anno@pec")
    },
    damage("a row's end", "riga 4: non porta") { $0.files.changing("eventi/4.json") { $0.append(10) } },
    damage("a row of another number", "riga 4: eventi/4.json è di un'altra riga") { world in
      world.files.changing("eventi/4.json") { $0 = world.files["eventi/3.json"] }
    },
    damage("a row is missing", "riga 9: manca eventi/9.json") { $0.files.without("eventi/9.json") },
    damage("a row and its proof are missing", "eventi.jsonl: non contiene le stesse righe") { world in
      let proof = world.matter.proofs[2].text
      return world.files.without("eventi/9.json").replacing("prove.txt", proof, "")
    },
    damage("a row was added", "eventi: 6 file, ma 5 righe") { world in
      world.files + [BundleFile("eventi/5.json", world.files["eventi/4.json"])]
    },
    damage("a line of the rows", "eventi.jsonl: non contiene") { $0.files.replacing("eventi.jsonl", "bruno", "bruna") },
    damage("lines in another order", "eventi.jsonl: non contiene") { world in
      world.files.changing("eventi.jsonl") { octets in
        octets = Array(octets.split(separator: 10).reversed().flatMap { $0 + [10] })
      }
    },
    damage("a step of a path", "riga 3: non porta") { world in
      let step = world.matter.proofs[0].path[1].text
      return world.files.replacing("prove.txt", step, String(step.dropLast()) + (step.hasSuffix("0") ? "1" : "0"))
    },
    damage("a step's side", "riga 3: il cammino è di un'altra riga") { world in
      let step = world.matter.proofs[0].path[0].text
      return world.files.replacing("prove.txt", step, (step.hasPrefix("L") ? "R" : "L") + step.dropFirst())
    },
    damage("a step too many", "riga 12: il cammino è troppo lungo") { world in
      world.files.changing("prove.txt") { $0 += Array("L \(String(repeating: "0", count: 64))\n".utf8) }
    },
    damage("a step is missing", "riga 12: non porta") { world in
      world.files.replacing("prove.txt", (world.matter.proofs[4].path.last?.text ?? "") + "\n", "")
    },
    damage("a step is no digest", "riga 12: prove.txt contiene righe inattese") { world in
      world.files.replacing("prove.txt", world.matter.proofs[4].path.last?.text ?? "", "L 12ab")
    },
    damage("another index", "riga 4: il suo posto") { $0.files.replacing("prove.txt", "row 4 seal 1 index 3", "row 4 seal 1 index 2") },
    damage("another size", "riga 4: il suo posto") { $0.files.replacing("prove.txt", "index 3 of 9", "index 3 of 8") },
    damage("another seal", "riga 4: il suo posto") { $0.files.replacing("prove.txt", "row 4 seal 1", "row 4 seal 2") },
    damage("a seal that is not there", "riga 4: manca il sigillo 7") { $0.files.replacing("prove.txt", "row 4 seal 1", "row 4 seal 7") },
    damage("words in the proofs", "prove.txt: contiene righe inattese") { $0.files.changing("prove.txt") { $0 += Array("ciao\n".utf8) } },
    damage("a manifest", "sigilli/1/manifesto.json: non è il manifesto che è stato firmato") {
      $0.files.replacing("sigilli/1/manifesto.json", "daily", "asked")
    },
    damage("a manifest's root", "riga 3: non porta") { world in
      world.files.replacing("sigilli/1/manifesto.json", "\"root\":\"", "\"root\":\"0")
    },
    damage("two manifests changed places", "non è il manifesto del sigillo 1") { world in
      world.files.changing("sigilli/1/manifesto.json") { $0 = world.files["sigilli/2/manifesto.json"] }
    },
    damage("a seal's signature by a stranger", "sigilli/2/sigillo.p7m: la firma non è valida") { world in
      let other = try World.sign(world.matter.seals[1].manifest, by: "estraneo", world.desk)
      return world.files.changing("sigilli/2/sigillo.p7m") { $0 = other }
    },
    damage("a seal's signature by a revoked key", "sigilli/2/revoche: il certificato del firmatario era revocato") { world in
      let other = try World.sign(world.matter.seals[1].manifest, by: "revocato", world.desk)
      return world.files.changing("sigilli/2/sigillo.p7m") { $0 = other }
    },
    damage("a seal signed again", "sigilli/1/marca-1.tst: la marca temporale non è valida") { world in
      let other = try World.sign(world.matter.seals[0].manifest, world.desk)
      return world.files.changing("sigilli/1/sigillo.p7m") { $0 = other }
    },
    damage("a seal's signature garbage", "sigilli/1/sigillo.p7m: la firma non è valida") {
      $0.files.changing("sigilli/1/sigillo.p7m") { $0 = [1, 2, 3] }
    },
    damage("another seal's stamp", "sigilli/1/marca-1.tst: la marca temporale non è valida per sigillo.p7m") { world in
      world.files.changing("sigilli/1/marca-1.tst") { $0 = world.files["sigilli/2/marca-1.tst"] }
    },
    damage("a stamp by another authority", "sigilli/1/marca-1.tst: la marca temporale non è valida") { world in
      let other = try World.stamp("marca-1.tst", over: world.matter.seals[0].signed, by: "altratsa", world.desk)
      return world.files.changing("sigilli/1/marca-1.tst") { $0 = other.token }
    },
    damage("a stamp is missing", "sigilli/2/marca-1.tst: la marca temporale non è valida") { $0.files.without("sigilli/2/marca-1.tst") },
    damage("a stamp's time", "sigilli/1/marca-1.tst: non è dell'ora") { world in
      let stamp = world.matter.seals[0].stamps[0]
      return world.files.replacing(
        "dati.txt", "marca: 1 marca-1.tst sigillo.p7m \(stamp.unixSeconds)", "marca: 1 marca-1.tst sigillo.p7m 1795254266")
    },
    damage("a stamp out of the folder", "nome di file inatteso") {
      $0.files.replacing("dati.txt", "marca: 1 marca-1.tst", "marca: 1 ../2/marca-1.tst")
    },
    damage("a path out of the folder", "contiene righe che non sono impronta e nome") { world in
      let listed = try world.relisted(world.files)
      let list = listed[ExtractBundle.contentsName] + Array("\(String(repeating: "0", count: 64))  ../fuori\n".utf8)
      return listed.without(ExtractBundle.contentsSignatureName).changing(ExtractBundle.contentsName) { $0 = list } + [
        try World.signature(of: list, world.desk)
      ]
    },
  ]

  /// What was changed before the list of contents was made and signed is found by the steps below it.
  @Test(arguments: deep)
  func whatTheListCoversIsCheckedAsWell(_ damage: Damage) throws {
    let made = try damage.make(world)
    let isOwnList = made[ExtractBundle.contentsName] != world.files[ExtractBundle.contentsName]
    let answer = try check(isOwnList ? made : world.relisted(made))
    #expect(answer.code == 1)
    #expect(answer.words.contains(damage.expected), "\(answer.words)")
    #expect(answer.words.contains("VERIFICA NON RIUSCITA"))
  }

  @Test func aSealWithoutStampIsAWarning() throws {
    var matter = world.matter
    matter.seals[0].stamps = []
    let bundle = try ExtractBundle(matter, pdf: [1])
    let answer = try check(bundle.files + [World.signature(of: bundle.contents, world.desk)])
    #expect(answer.code == 0, "\(answer.words)")
    #expect(answer.words.contains("AVVISO  sigilli/1: il sigillo non ha (ancora) una marca temporale"))
    #expect(answer.words.contains("VERIFICA RIUSCITA, con 1 avvisi."))
  }

  @Test func anExtractWithoutRowsChecks() throws {
    var matter = world.matter
    (matter.rows, matter.proofs, matter.seals) = ([], [], [])
    let bundle = try ExtractBundle(matter, pdf: [1])
    let answer = try check(bundle.files + [World.signature(of: bundle.contents, world.desk)])
    #expect(answer.code == 0, "\(answer.words)")
    #expect(answer.words.contains("0 righe"))
  }

  /// The commands of `VERIFICA.txt`, as they stand there, one after the other.
  @Test func thePrintedStepsWork() throws {
    let desk = Desk()
    try desk.lay(world.files, in: "estratto")
    let text = String(decoding: world.files["VERIFICA.txt"], as: UTF8.self)
    let commands = text.split(separator: "\n").filter { $0.hasPrefix("    ") && !$0.contains("verifica.sh") }.map { $0.dropFirst(4) }
    #expect(commands.count > 12)
    try desk.write(Array(("set -e\n" + commands.joined(separator: "\n") + "\n").utf8), "passi.sh")
    let answer = try desk.run(["bash", "../passi.sh"], in: "estratto")
    #expect(answer.code == 0, "\(answer.words)")
    #expect(answer.words.components(separatedBy: "CMS Verification successful").count == 3, "\(answer.words)")
    #expect(answer.words.contains("Verification: OK"))
    let root = try #require(answer.words.firstMatch(of: /\n([0-9a-f]{64})\n"root":"([0-9a-f]{64})"/))
    #expect(root.1 == root.2)
    // Nothing is left behind by the steps.
    #expect(try desk.run(["dash", "verifica.sh"], in: "estratto").code == 0)
  }
}
