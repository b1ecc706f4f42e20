ALTER TABLE "audit_batches" ADD COLUMN "least_id" uuid DEFAULT '00000000-0000-0000-0000-000000000000' NOT NULL;--> statement-breakpoint
ALTER TABLE "audit_batches" ADD COLUMN "greatest_id" uuid DEFAULT 'ffffffff-ffff-ffff-ffff-ffffffffffff' NOT NULL;--> statement-breakpoint
CREATE INDEX "audit_batches_ids" ON "audit_batches" USING btree ("greatest_id","least_id");