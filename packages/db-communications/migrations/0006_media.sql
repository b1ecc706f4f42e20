CREATE TABLE "media_objects" (
	"id" uuid PRIMARY KEY NOT NULL,
	"key" text NOT NULL,
	"uploaded_sha256" text NOT NULL,
	"uploaded_size" bigint NOT NULL,
	"thumbnail_key" text,
	"thumbnail_size" integer,
	"created_at" timestamp (3) with time zone NOT NULL,
	"processed_at" timestamp (3) with time zone,
	"attempts" integer DEFAULT 0 NOT NULL,
	"claimed_until" timestamp (3) with time zone,
	CONSTRAINT "media_objects_key_unique" UNIQUE("key"),
	CONSTRAINT "media_objects_thumbnail_key_unique" UNIQUE("thumbnail_key")
);
--> statement-breakpoint
CREATE TABLE "media_uploads" (
	"id" uuid PRIMARY KEY NOT NULL,
	"owner_id" uuid NOT NULL,
	"filename" text NOT NULL,
	"metadata" text,
	"size" bigint NOT NULL,
	"object_key" text NOT NULL,
	"handle" text NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"expires_at" timestamp (3) with time zone NOT NULL,
	"finished_at" timestamp (3) with time zone,
	"lease" uuid,
	"leased_until" timestamp (3) with time zone,
	"wanted" boolean DEFAULT false NOT NULL,
	CONSTRAINT "media_uploads_object_key_unique" UNIQUE("object_key")
);
--> statement-breakpoint
CREATE TABLE "media_usage" (
	"holder" text PRIMARY KEY NOT NULL,
	"bytes" bigint DEFAULT 0 NOT NULL,
	"files" integer DEFAULT 0 NOT NULL,
	"reserved" bigint DEFAULT 0 NOT NULL
);
--> statement-breakpoint
ALTER TABLE "media" DROP CONSTRAINT "media_object_key_unique";--> statement-breakpoint
ALTER TABLE "media" ADD COLUMN "object_id" uuid;--> statement-breakpoint
ALTER TABLE "media" ADD COLUMN "state" text;--> statement-breakpoint
-- Each file that there is has an object of its own, and all of them are due: pictures may tell where they were taken.
INSERT INTO "media_objects" ("id", "key", "uploaded_sha256", "uploaded_size", "created_at")
	SELECT "id", "object_key", "sha256", "size", "created_at" FROM "media";--> statement-breakpoint
UPDATE "media" SET "object_id" = "id", "state" = CASE WHEN "content_type" IN ('image/jpeg', 'image/png', 'image/apng',
	'image/webp', 'image/gif', 'image/tiff', 'image/heic', 'image/heif', 'image/heic-sequence', 'image/heif-sequence',
	'image/avif') THEN 'processing' ELSE 'ready' END;--> statement-breakpoint
INSERT INTO "media_usage" ("holder", "bytes", "files")
	SELECT coalesce("owner_id"::text, 'server'), sum("size"), count(*) FROM "media" GROUP BY GROUPING SETS (("owner_id"), ())
	HAVING count(*) > 0;--> statement-breakpoint
ALTER TABLE "media" ALTER COLUMN "object_id" SET NOT NULL;--> statement-breakpoint
ALTER TABLE "media" ALTER COLUMN "state" SET NOT NULL;--> statement-breakpoint
ALTER TABLE "media" ADD COLUMN "width" integer;--> statement-breakpoint
ALTER TABLE "media" ADD COLUMN "height" integer;--> statement-breakpoint
ALTER TABLE "media" ADD COLUMN "thumbnail" boolean DEFAULT false NOT NULL;--> statement-breakpoint
CREATE INDEX "media_objects_content" ON "media_objects" USING btree ("uploaded_sha256");--> statement-breakpoint
CREATE INDEX "media_objects_due" ON "media_objects" USING btree ("created_at") WHERE "media_objects"."processed_at" is null;--> statement-breakpoint
CREATE INDEX "media_uploads_owner" ON "media_uploads" USING btree ("owner_id");--> statement-breakpoint
CREATE INDEX "media_uploads_expiry" ON "media_uploads" USING btree ("expires_at");--> statement-breakpoint
ALTER TABLE "media" ADD CONSTRAINT "media_object_id_media_objects_id_fk" FOREIGN KEY ("object_id") REFERENCES "public"."media_objects"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "media_object" ON "media" USING btree ("object_id");--> statement-breakpoint
ALTER TABLE "media" DROP COLUMN "object_key";