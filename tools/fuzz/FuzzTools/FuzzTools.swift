import FuzzHarness

/// What people run on a store that is damaged: each on stores that the input mangles.
@main
enum FuzzTools {
  static func main() throws {
    try Fuzzing.run([
      StoreTools.inspection, StoreTools.repair, StoreTools.opening, SalvageTool.target,
    ])
  }
}
