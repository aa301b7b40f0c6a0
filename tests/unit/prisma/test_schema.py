"""schema.prisma as text: which tables, columns and indexes LiteLLM expects."""

import pytest

from hx_gateway_db.prisma.migration_sql import Work, additions, works
from hx_gateway_db.prisma.schema import Table, tables
from tests.unit.growth import grows_too_fast

SCHEMA = """\
datasource client { provider = "postgresql" }
generator client {
  provider = "prisma-client-py"
}

// model Old { id String }
model LiteLLM_Team {
    team_id    String @id @default(uuid())
    home       String @default("http://x") // where
    created    DateTime? @default(now()) @map("created_at")
    kind       Kind
    tags       String[] @default([])
    budget     LiteLLM_Budget? @relation(fields: [budget_id], references: [id])
    keys       LiteLLM_Key[]
    budget_id  String? @unique
    @@index([created, kind(sort: Desc)], map: "an_index")
    @@unique(fields: [team_id,
      kind])
    @@id([team_id, kind])
    @@map("LiteLLM_TeamTable")
}

enum Kind {
  one
}

model LiteLLM_Budget {
    id String @id
}
model LiteLLM_Key {
    token String @id
}
model LiteLLM_Unfinished {
    id String @id
"""


def test_a_model_is_its_table_with_columns_and_indexes() -> None:
    team, budget, _ = tables(SCHEMA)
    assert team == Table(
        "LiteLLM_TeamTable",
        ("team_id", "home", "created_at", "kind", "tags", "budget_id"),
        (("budget_id",), ("created_at", "kind"), ("team_id", "kind")),
    )
    assert budget == Table("LiteLLM_Budget", ("id",))


def test_a_text_that_is_no_schema_has_no_tables() -> None:
    for text in ("", "}", "model {", "model A {\n" * 3, "@@index([", '"""""//', "\0\n}\n"):
        assert tables(text) == []


@pytest.mark.parametrize(
    "piece",
    [
        *("model A {\n", "model A {\n a B\n}\n", '"//', "@@index([", "@@index([a,\n", "a B @map("),
        *(";", 'ALTER TABLE "a" ', "-- ;\n", 'CREATE INDEX "', "model A {\n@@index([a]) (\n"),
    ],
)
def test_a_text_of_any_kind_is_read_in_proportion_to_its_length(piece: str) -> None:
    assert not grows_too_fast(tables, lambda size: piece * (size // len(piece) + 1))
    assert not grows_too_fast(additions, lambda size: piece * (size // len(piece) + 1))
    assert not grows_too_fast(works, lambda size: piece * (size // len(piece) + 1))


def test_what_a_migration_does_for_long_is_told() -> None:
    text = """\
-- ALTER TABLE "LiteLLM_No" ALTER COLUMN "a" SET DATA TYPE BIGINT;
ALTER TABLE "LiteLLM_A" ADD COLUMN "status" TEXT;
ALTER TABLE "LiteLLM_A" ADD COLUMN "at" TIMESTAMP(3) DEFAULT CURRENT_TIMESTAMP;
ALTER TABLE "LiteLLM_B"
  ALTER COLUMN "n" SET DATA TYPE BIGINT;
alter table "LiteLLM_C" ADD COLUMN "id" TEXT DEFAULT gen_random_uuid();
CREATE INDEX "i" ON "LiteLLM_D"("x");
CREATE UNIQUE INDEX IF NOT EXISTS "j" ON "public"."LiteLLM_E"("x");
CREATE INDEX CONCURRENTLY "k" ON "LiteLLM_No"("x");
UPDATE "LiteLLM_F" SET "x" = 1; DELETE FROM "LiteLLM_F";
CREATE TABLE "LiteLLM_No" ("id" TEXT PRIMARY KEY);
"""
    assert works(text) == [
        Work("LiteLLM_B", "rewrites"),
        Work("LiteLLM_C", "rewrites"),
        Work("LiteLLM_D", "makes an index on"),
        Work("LiteLLM_E", "makes an index on"),
        Work("LiteLLM_F", "changes rows of"),
    ]
